PRAGMA foreign_keys=OFF;
BEGIN TRANSACTION;
CREATE TABLE _sqlx_migrations (
    version BIGINT PRIMARY KEY,
    description TEXT NOT NULL,
    installed_on TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP,
    success BOOLEAN NOT NULL,
    checksum BLOB NOT NULL,
    execution_time BIGINT NOT NULL
);
INSERT INTO _sqlx_migrations VALUES(1,'ledger','2026-11-28 18:59:44',1,X'22e6d54f7f7dbc42a8058fc24a3b11905606750beac5354cfa90f7f40969f0a33734563197744d570bc80720189d3290',1866277);
INSERT INTO _sqlx_migrations VALUES(2,'running continues','2026-11-28 18:59:44',1,X'99e14c2fd0a57ff0b8cd58ba4de8e209d5baac0484fce9573c2015e915572b4482f027fbbf050860807dd4d15dbc2bd8',793857);
INSERT INTO _sqlx_migrations VALUES(3,'call key','2026-11-28 18:59:44',1,X'2500d4efbbd5bd4dde0ab6693a461140d56423461be85d97bb0549de92068a554fd4fbc8c3a6a488a64eec5eb95d5ea9',913524);
INSERT INTO _sqlx_migrations VALUES(4,'reports','2026-11-28 18:59:44',1,X'51a8f6e581b7231e16c4acd1c06128a47966f523ae038b0016678c54853a1353db7175b8a62109b67a0f4230ff7438d6',1605435);
INSERT INTO _sqlx_migrations VALUES(5,'exchange head','2026-11-28 18:59:44',1,X'413495b94b9b0d369ed79659a9d7e2e392c6af7b8c2cbda8c91be8fb37c42cbd615972c0546277d642a9706f02773d31',1270934);
CREATE TABLE frame (
    hash blob primary key,                  -- covers the body
    body blob not null                      -- JSON without its long strings, zstd
) strict, without rowid;
INSERT INTO frame VALUES(X'33bcc3ccf30c620309ce35154a38e4900ed5b85b51adbd80cd1753263c8a7c3d',X'7b226d6f64656c223a22636c61756465222c22666f72223a22626f62227d');
INSERT INTO frame VALUES(X'87833e144cf015e735a2f3c531dd8c44c2e999e67672220f6a897f5b13efc6fc',X'7b226d6f64656c223a22636c61756465222c22666f72223a22616e6e227d');
CREATE TABLE node (
    hash blob primary key,                  -- covers parent and body
    parent blob,                            -- the message before; null for the first one
    body blob not null                      -- JSON without its long strings, zstd
) strict, without rowid;
INSERT INTO node VALUES(X'01d35a95568a6def46676eb101e0908cd4d1292028558a31c616a69b22a74612',X'63e2ae0a0d124bec57ed75d6477cd242a3695a8a57759391f42ff50f07304cd0',X'7b22726f6c65223a2275736572222c226e223a342c226279223a22616e6e227d');
INSERT INTO node VALUES(X'0237987da55f1387e103cdaffdf0fc65ce179f7b447cd5852beb1325232a242f',X'5bdb8b464c148080a9c9d129d248609ac9c96e64f3c1b5689bc9fc8cf4c2be28',X'7b22726f6c65223a2275736572222c226e223a312c226279223a22626f62227d');
INSERT INTO node VALUES(X'09974e81975e09433f3b6d164391b25198bb42baab349ce7591b7ec6823f8002',X'6762d74896f8273a326386da68081a65c17b48b7bc87cf67fe46447ab34027db',X'7b22726f6c65223a2275736572222c226e223a322c226279223a22616e6e227d');
INSERT INTO node VALUES(X'0abc0707a8830297f4eafef0573ef57216219f0c749b7a880bde493698276b69',X'd9f4863548c7b6d4ff09300d0160668e309e5f585e6df5fd2ae05eb7bf678b16',X'7b22726f6c65223a2275736572222c226e223a332c226279223a22626f62227d');
INSERT INTO node VALUES(X'5bdb8b464c148080a9c9d129d248609ac9c96e64f3c1b5689bc9fc8cf4c2be28',NULL,X'7b22726f6c65223a2275736572222c22696d616765223a22227d');
INSERT INTO node VALUES(X'63e2ae0a0d124bec57ed75d6477cd242a3695a8a57759391f42ff50f07304cd0',X'09974e81975e09433f3b6d164391b25198bb42baab349ce7591b7ec6823f8002',X'7b22726f6c65223a2275736572222c226e223a332c226279223a22616e6e227d');
INSERT INTO node VALUES(X'6762d74896f8273a326386da68081a65c17b48b7bc87cf67fe46447ab34027db',X'5bdb8b464c148080a9c9d129d248609ac9c96e64f3c1b5689bc9fc8cf4c2be28',X'7b22726f6c65223a2275736572222c226e223a312c226279223a22616e6e227d');
INSERT INTO node VALUES(X'c7df17a229bdcd24880b9835f9c96c8a764011a9c5d50792efbfd2a6dc25618d',X'f3ff3bb5c42218bcca886e689aac40a07cd30f9a1c8b5d45d8e298fc8d53534d',X'7b22726f6c65223a2275736572222c226e223a352c226279223a22626f62227d');
INSERT INTO node VALUES(X'd9f4863548c7b6d4ff09300d0160668e309e5f585e6df5fd2ae05eb7bf678b16',X'0237987da55f1387e103cdaffdf0fc65ce179f7b447cd5852beb1325232a242f',X'7b22726f6c65223a2275736572222c226e223a322c226279223a22626f62227d');
INSERT INTO node VALUES(X'f3ff3bb5c42218bcca886e689aac40a07cd30f9a1c8b5d45d8e298fc8d53534d',X'0abc0707a8830297f4eafef0573ef57216219f0c749b7a880bde493698276b69',X'7b22726f6c65223a2275736572222c226e223a342c226279223a22626f62227d');
CREATE TABLE blob (
    hash blob primary key,                  -- covers the body
    body blob not null                      -- the string as it was escaped in the JSON, zstd
) strict;
INSERT INTO blob VALUES(X'c104b2d54102d5c29fe203908ed501236a3e66fe96051795f71d678d32e7bf46',X'28b52ffd6088124d0000107070010083d3032c');
CREATE TABLE piece (
    owner blob not null,                    -- the node or frame
    at integer not null,                    -- offset in the owner's body, in bytes
    blob blob not null references blob (hash),
    primary key (owner, at)
) strict, without rowid;
INSERT INTO piece VALUES(X'5bdb8b464c148080a9c9d129d248609ac9c96e64f3c1b5689bc9fc8cf4c2be28',24,X'c104b2d54102d5c29fe203908ed501236a3e66fe96051795f71d678d32e7bf46');
CREATE TABLE exchange (
    id text primary key,
    key blob not null,                      -- the cache key
    scope text not null,                    -- among whom the answer is shared
    frame blob,                             -- null: no bodies kept
    head blob,                              -- the newest node; null: no bodies kept, or no messages
    continues text,                         -- the exchange before in the same session
    model_asked text not null,
    model_served text,                      -- as upstream named it; null: it never said
    outcome text not null,                  -- complete, failed, cut, stopped, lost
    stop_reason text,                       -- Anthropic's word
    error_kind text,                        -- Anthropic's `error.type`, or ours
    error text,                             -- for people
    status integer,                         -- of upstream's response; null: there was none
    upstream_request text,                  -- Anthropic's `request-id`
    opened_at integer not null,
    ended_at integer not null,
    ttft_us integer,                        -- until the first event
    total_us integer,                       -- until the end; null: nobody saw it
    input integer not null,                 -- tokens after the last cache breakpoint
    cache_write_5m integer not null,
    cache_write_1h integer not null,
    cache_read integer not null,
    output integer not null,                -- everything generated, thinking included
    thinking integer not null,              -- the part of `output` that was thinking
    searches integer not null,
    cost integer,                           -- null: unpriced
    cost_is text not null,                  -- exact, at_least (it ended early), unpriced
    priced_on text,                         -- the day whose prices these are, YYYY-MM-DD
    servable integer not null,              -- whether it may ever answer a repeat
    breakpoints text,                       -- where prompt caching was asked for, JSON
    recording blob, version text, betas text,                         -- marks and bytes of the SSE body, zstd; last, so that reports skip it
    check (cost_is in ('exact', 'at_least', 'unpriced')),
    check ((cost is null) = (cost_is = 'unpriced')),
    check (recording is not null or not servable)
) strict;
INSERT INTO exchange VALUES('00000000-0000-0000-0000-000000000001',X'96c8c7fe07e47094add92d4bc27091a95fee91db597d995470104948c61e6ebb','ann',X'87833e144cf015e735a2f3c531dd8c44c2e999e67672220f6a897f5b13efc6fc',X'5bdb8b464c148080a9c9d129d248609ac9c96e64f3c1b5689bc9fc8cf4c2be28',NULL,'claude-opus-5-5','claude-opus-5-5','complete','end_turn',NULL,NULL,200,'req_1',1793491200001,1793491200003,1000,2000,3,0,0,4,5,1,0,1000,'exact','2026-11-01',1,'[1]',X'1907006576656e743a20610a646174613a20616e7377657220310a0a','2023-06-01','a-beta');
INSERT INTO exchange VALUES('00000000-0000-0000-0000-000000000003',X'd464e1d54a493224ac8a941b858824dd9a9d004d39914819c1f72ac95462e67f','bob',X'33bcc3ccf30c620309ce35154a38e4900ed5b85b51adbd80cd1753263c8a7c3d',X'5bdb8b464c148080a9c9d129d248609ac9c96e64f3c1b5689bc9fc8cf4c2be28',NULL,'claude-opus-5-5','claude-opus-5-5','complete','end_turn',NULL,NULL,200,'req_3',1793491200003,1793491200005,1000,2000,3,0,0,4,5,1,0,1000,'exact','2026-11-01',1,'[1]',X'1907006576656e743a20610a646174613a20616e7377657220330a0a','2023-06-01','a-beta');
INSERT INTO exchange VALUES('00000000-0000-0000-0000-000000000005',X'0a8b8e7b430b19bb2e32df60c0f237c222b2a583d36ad299246214a16fce4b46','ann',X'87833e144cf015e735a2f3c531dd8c44c2e999e67672220f6a897f5b13efc6fc',X'6762d74896f8273a326386da68081a65c17b48b7bc87cf67fe46447ab34027db',NULL,'claude-opus-5-5','claude-opus-5-5','complete','end_turn',NULL,NULL,200,'req_5',1793577600005,1793577600007,1000,2000,3,0,0,4,5,1,0,1000,'exact','2026-11-01',1,'[1]',X'1907006576656e743a20610a646174613a20616e7377657220350a0a','2023-06-01','a-beta');
INSERT INTO exchange VALUES('00000000-0000-0000-0000-000000000007',X'1827c4c444169fda78adbd550118cd5db97ed67ab86e8628c9eef76f93e7afcf','bob',X'33bcc3ccf30c620309ce35154a38e4900ed5b85b51adbd80cd1753263c8a7c3d',X'0237987da55f1387e103cdaffdf0fc65ce179f7b447cd5852beb1325232a242f',NULL,'claude-opus-5-5','claude-opus-5-5','complete','end_turn',NULL,NULL,200,'req_7',1793577600007,1793577600009,1000,2000,3,0,0,4,5,1,0,1000,'exact','2026-11-01',1,'[1]',X'1907006576656e743a20610a646174613a20616e7377657220370a0a','2023-06-01','a-beta');
INSERT INTO exchange VALUES('00000000-0000-0000-0000-000000000009',X'3c419f4df36675485534d2e4909d8498c8abc5e302a4a51a81246cb06e7af75b','ann',X'87833e144cf015e735a2f3c531dd8c44c2e999e67672220f6a897f5b13efc6fc',X'09974e81975e09433f3b6d164391b25198bb42baab349ce7591b7ec6823f8002',NULL,'claude-opus-5-5','claude-opus-5-5','complete','end_turn',NULL,NULL,200,'req_9',1793664000009,1793664000011,1000,2000,3,0,0,4,5,1,0,1000,'exact','2026-11-01',1,'[1]',X'1907006576656e743a20610a646174613a20616e7377657220390a0a','2023-06-01','a-beta');
INSERT INTO exchange VALUES('00000000-0000-0000-0000-00000000000b',X'e5aeef1ce2f82ca413f22197652febc85c81a9335a1e04da3f871b8fa9ecb782','bob',X'33bcc3ccf30c620309ce35154a38e4900ed5b85b51adbd80cd1753263c8a7c3d',X'd9f4863548c7b6d4ff09300d0160668e309e5f585e6df5fd2ae05eb7bf678b16',NULL,'claude-opus-5-5','claude-opus-5-5','complete','end_turn',NULL,NULL,200,'req_11',1793664000011,1793664000013,1000,2000,3,0,0,4,5,1,0,1000,'exact','2026-11-01',1,'[1]',X'1a07006576656e743a20610a646174613a20616e737765722031310a0a','2023-06-01','a-beta');
INSERT INTO exchange VALUES('00000000-0000-0000-0000-00000000000d',X'397311b4bebe09ca63373a76d333d3b26dc23e8745d6365de6f0ef5876f1e7a4','ann',X'87833e144cf015e735a2f3c531dd8c44c2e999e67672220f6a897f5b13efc6fc',X'63e2ae0a0d124bec57ed75d6477cd242a3695a8a57759391f42ff50f07304cd0',NULL,'claude-opus-5-5','claude-opus-5-5','complete','end_turn',NULL,NULL,200,'req_13',1793750400013,1793750400015,1000,2000,3,0,0,4,5,1,0,1000,'exact','2026-11-01',1,'[1]',X'1a07006576656e743a20610a646174613a20616e737765722031330a0a','2023-06-01','a-beta');
INSERT INTO exchange VALUES('00000000-0000-0000-0000-00000000000f',X'be021116331435d553f3f9bf4d9506d318dc2e3171307896ca6ed8b77ff5aaa5','bob',X'33bcc3ccf30c620309ce35154a38e4900ed5b85b51adbd80cd1753263c8a7c3d',X'0abc0707a8830297f4eafef0573ef57216219f0c749b7a880bde493698276b69',NULL,'claude-opus-5-5','claude-opus-5-5','complete','end_turn',NULL,NULL,200,'req_15',1793750400015,1793750400017,1000,2000,3,0,0,4,5,1,0,1000,'exact','2026-11-01',1,'[1]',X'1a07006576656e743a20610a646174613a20616e737765722031350a0a','2023-06-01','a-beta');
INSERT INTO exchange VALUES('00000000-0000-0000-0000-000000000032',X'2fd0cf467e909ce4a04c4f44a9028b10fbead15a0a2cb3350ffca00f30fcd392','ann',X'87833e144cf015e735a2f3c531dd8c44c2e999e67672220f6a897f5b13efc6fc',X'01d35a95568a6def46676eb101e0908cd4d1292028558a31c616a69b22a74612',NULL,'claude-opus-5-5','claude-opus-5-5','complete','end_turn',NULL,NULL,200,'req_50',1793750401000,1793750401002,1000,2000,3,0,0,4,5,1,0,1000,'exact','2026-11-01',0,'[1]',X'1a07006576656e743a20610a646174613a20616e737765722035300a0a','2023-06-01','a-beta');
INSERT INTO exchange VALUES('00000000-0000-0000-0000-000000000033',X'a70ecbd60e464aa9b562f7524a493fd4d97bf96f60e6d860419d30272fbdda2c','ann',X'87833e144cf015e735a2f3c531dd8c44c2e999e67672220f6a897f5b13efc6fc',X'01d35a95568a6def46676eb101e0908cd4d1292028558a31c616a69b22a74612','00000000-0000-0000-0000-000000000032','claude-opus-5-5','claude-opus-5-5','complete','end_turn',NULL,NULL,200,'req_51',1793750401001,1793750401002,1000,2000,3,0,0,4,5,1,0,1000,'exact','2026-11-01',0,'[1]',X'1a07006576656e743a20610a646174613a20616e737765722035310a0a','2023-06-01','a-beta');
CREATE TABLE call (
    id text primary key,
    exchange text,                          -- null: answered from a fixture, or not at all
    at integer not null,                    -- when it came in
    answered_by text not null,              -- hit, miss, collapsed, refresh, bypass, replay
    door text not null,                     -- the dialect: chat, messages
    stream integer not null,                -- whether the client asked for a stream
    user_id text,                           -- these five as the client stated them
    chat_id text,
    message_id text,
    user_message_id text,
    task text,
    client text,                            -- the program that asked
    status integer,                         -- of our response; null: nobody was there to get one
    outcome text not null,                  -- of the exchange
    ttft_us integer,
    total_us integer,
    model text not null,                    -- served, else asked
    input integer not null,                 -- tokens of the answer, as on the exchange
    cache_write_5m integer not null,
    cache_write_1h integer not null,
    cache_read integer not null,
    output integer not null,
    thinking integer not null,
    searches integer not null,
    cost integer,                           -- what this call cost: 0 when no one had to be asked
    cost_is text not null,
    saved integer not null,                 -- what it would have cost
    notes text,                             -- what the translation dropped or changed, JSON
    client_frame blob,                      -- what the client really sent, kept like the upstream request
    client_head blob, key blob, error_kind text, saved_is text not null default 'exact'
    check (saved_is in ('exact', 'unpriced')),
    check (cost_is in ('exact', 'at_least', 'unpriced')),
    check ((cost is null) = (cost_is = 'unpriced'))
) strict;
INSERT INTO call VALUES('00000000-0000-0000-0000-000000000001','00000000-0000-0000-0000-000000000001',1793491200001,'miss','chat',1,'ann','chat of ann','m1','u1',NULL,'open-webui',200,'complete',1000,2000,'claude-opus-5-5',3,0,0,4,5,1,0,1000,'exact',0,NULL,X'87833e144cf015e735a2f3c531dd8c44c2e999e67672220f6a897f5b13efc6fc',X'5bdb8b464c148080a9c9d129d248609ac9c96e64f3c1b5689bc9fc8cf4c2be28',X'96c8c7fe07e47094add92d4bc27091a95fee91db597d995470104948c61e6ebb',NULL,'exact');
INSERT INTO call VALUES('00000000-0000-0000-0000-000000000002','00000000-0000-0000-0000-000000000001',1793491200011,'hit','messages',1,'ann','chat of ann','m2','u2',NULL,'open-webui',200,'complete',10,20,'claude-opus-5-5',3,0,0,4,5,1,0,0,'exact',1000,NULL,X'87833e144cf015e735a2f3c531dd8c44c2e999e67672220f6a897f5b13efc6fc',X'5bdb8b464c148080a9c9d129d248609ac9c96e64f3c1b5689bc9fc8cf4c2be28',X'96c8c7fe07e47094add92d4bc27091a95fee91db597d995470104948c61e6ebb',NULL,'exact');
INSERT INTO call VALUES('00000000-0000-0000-0000-000000000003','00000000-0000-0000-0000-000000000003',1793491200003,'miss','chat',1,'bob','chat of bob','m3','u3',NULL,'open-webui',200,'complete',1000,2000,'claude-opus-5-5',3,0,0,4,5,1,0,1000,'exact',0,NULL,X'33bcc3ccf30c620309ce35154a38e4900ed5b85b51adbd80cd1753263c8a7c3d',X'5bdb8b464c148080a9c9d129d248609ac9c96e64f3c1b5689bc9fc8cf4c2be28',X'd464e1d54a493224ac8a941b858824dd9a9d004d39914819c1f72ac95462e67f',NULL,'exact');
INSERT INTO call VALUES('00000000-0000-0000-0000-000000000004','00000000-0000-0000-0000-000000000003',1793491200013,'hit','messages',1,'bob','chat of bob','m4','u4',NULL,'open-webui',200,'complete',10,20,'claude-opus-5-5',3,0,0,4,5,1,0,0,'exact',1000,NULL,X'33bcc3ccf30c620309ce35154a38e4900ed5b85b51adbd80cd1753263c8a7c3d',X'5bdb8b464c148080a9c9d129d248609ac9c96e64f3c1b5689bc9fc8cf4c2be28',X'd464e1d54a493224ac8a941b858824dd9a9d004d39914819c1f72ac95462e67f',NULL,'exact');
INSERT INTO call VALUES('00000000-0000-0000-0000-000000000005','00000000-0000-0000-0000-000000000005',1793577600005,'miss','chat',1,'ann','chat of ann','m5','u5',NULL,'open-webui',200,'complete',1000,2000,'claude-opus-5-5',3,0,0,4,5,1,0,1000,'exact',0,NULL,X'87833e144cf015e735a2f3c531dd8c44c2e999e67672220f6a897f5b13efc6fc',X'6762d74896f8273a326386da68081a65c17b48b7bc87cf67fe46447ab34027db',X'0a8b8e7b430b19bb2e32df60c0f237c222b2a583d36ad299246214a16fce4b46',NULL,'exact');
INSERT INTO call VALUES('00000000-0000-0000-0000-000000000006','00000000-0000-0000-0000-000000000005',1793577600015,'hit','messages',1,'ann','chat of ann','m6','u6',NULL,'open-webui',200,'complete',10,20,'claude-opus-5-5',3,0,0,4,5,1,0,0,'exact',1000,NULL,X'87833e144cf015e735a2f3c531dd8c44c2e999e67672220f6a897f5b13efc6fc',X'6762d74896f8273a326386da68081a65c17b48b7bc87cf67fe46447ab34027db',X'0a8b8e7b430b19bb2e32df60c0f237c222b2a583d36ad299246214a16fce4b46',NULL,'exact');
INSERT INTO call VALUES('00000000-0000-0000-0000-000000000007','00000000-0000-0000-0000-000000000007',1793577600007,'miss','chat',1,'bob','chat of bob','m7','u7',NULL,'open-webui',200,'complete',1000,2000,'claude-opus-5-5',3,0,0,4,5,1,0,1000,'exact',0,NULL,X'33bcc3ccf30c620309ce35154a38e4900ed5b85b51adbd80cd1753263c8a7c3d',X'0237987da55f1387e103cdaffdf0fc65ce179f7b447cd5852beb1325232a242f',X'1827c4c444169fda78adbd550118cd5db97ed67ab86e8628c9eef76f93e7afcf',NULL,'exact');
INSERT INTO call VALUES('00000000-0000-0000-0000-000000000008','00000000-0000-0000-0000-000000000007',1793577600017,'hit','messages',1,'bob','chat of bob','m8','u8',NULL,'open-webui',200,'complete',10,20,'claude-opus-5-5',3,0,0,4,5,1,0,0,'exact',1000,NULL,X'33bcc3ccf30c620309ce35154a38e4900ed5b85b51adbd80cd1753263c8a7c3d',X'0237987da55f1387e103cdaffdf0fc65ce179f7b447cd5852beb1325232a242f',X'1827c4c444169fda78adbd550118cd5db97ed67ab86e8628c9eef76f93e7afcf',NULL,'exact');
INSERT INTO call VALUES('00000000-0000-0000-0000-000000000009','00000000-0000-0000-0000-000000000009',1793664000009,'miss','chat',1,'ann','chat of ann','m9','u9',NULL,'open-webui',200,'complete',1000,2000,'claude-opus-5-5',3,0,0,4,5,1,0,1000,'exact',0,NULL,X'87833e144cf015e735a2f3c531dd8c44c2e999e67672220f6a897f5b13efc6fc',X'09974e81975e09433f3b6d164391b25198bb42baab349ce7591b7ec6823f8002',X'3c419f4df36675485534d2e4909d8498c8abc5e302a4a51a81246cb06e7af75b',NULL,'exact');
INSERT INTO call VALUES('00000000-0000-0000-0000-00000000000a','00000000-0000-0000-0000-000000000009',1793664000019,'hit','messages',1,'ann','chat of ann','m10','u10',NULL,'open-webui',200,'complete',10,20,'claude-opus-5-5',3,0,0,4,5,1,0,0,'exact',1000,NULL,X'87833e144cf015e735a2f3c531dd8c44c2e999e67672220f6a897f5b13efc6fc',X'09974e81975e09433f3b6d164391b25198bb42baab349ce7591b7ec6823f8002',X'3c419f4df36675485534d2e4909d8498c8abc5e302a4a51a81246cb06e7af75b',NULL,'exact');
INSERT INTO call VALUES('00000000-0000-0000-0000-00000000000b','00000000-0000-0000-0000-00000000000b',1793664000011,'miss','chat',1,'bob','chat of bob','m11','u11',NULL,'open-webui',200,'complete',1000,2000,'claude-opus-5-5',3,0,0,4,5,1,0,1000,'exact',0,NULL,X'33bcc3ccf30c620309ce35154a38e4900ed5b85b51adbd80cd1753263c8a7c3d',X'd9f4863548c7b6d4ff09300d0160668e309e5f585e6df5fd2ae05eb7bf678b16',X'e5aeef1ce2f82ca413f22197652febc85c81a9335a1e04da3f871b8fa9ecb782',NULL,'exact');
INSERT INTO call VALUES('00000000-0000-0000-0000-00000000000c','00000000-0000-0000-0000-00000000000b',1793664000021,'hit','messages',1,'bob','chat of bob','m12','u12',NULL,'open-webui',200,'complete',10,20,'claude-opus-5-5',3,0,0,4,5,1,0,0,'exact',1000,NULL,X'33bcc3ccf30c620309ce35154a38e4900ed5b85b51adbd80cd1753263c8a7c3d',X'd9f4863548c7b6d4ff09300d0160668e309e5f585e6df5fd2ae05eb7bf678b16',X'e5aeef1ce2f82ca413f22197652febc85c81a9335a1e04da3f871b8fa9ecb782',NULL,'exact');
INSERT INTO call VALUES('00000000-0000-0000-0000-00000000000d','00000000-0000-0000-0000-00000000000d',1793750400013,'miss','chat',1,'ann','chat of ann','m13','u13',NULL,'open-webui',200,'complete',1000,2000,'claude-opus-5-5',3,0,0,4,5,1,0,1000,'exact',0,NULL,X'87833e144cf015e735a2f3c531dd8c44c2e999e67672220f6a897f5b13efc6fc',X'63e2ae0a0d124bec57ed75d6477cd242a3695a8a57759391f42ff50f07304cd0',X'397311b4bebe09ca63373a76d333d3b26dc23e8745d6365de6f0ef5876f1e7a4',NULL,'exact');
INSERT INTO call VALUES('00000000-0000-0000-0000-00000000000e','00000000-0000-0000-0000-00000000000d',1793750400023,'hit','messages',1,'ann','chat of ann','m14','u14',NULL,'open-webui',200,'complete',10,20,'claude-opus-5-5',3,0,0,4,5,1,0,0,'exact',1000,NULL,X'87833e144cf015e735a2f3c531dd8c44c2e999e67672220f6a897f5b13efc6fc',X'63e2ae0a0d124bec57ed75d6477cd242a3695a8a57759391f42ff50f07304cd0',X'397311b4bebe09ca63373a76d333d3b26dc23e8745d6365de6f0ef5876f1e7a4',NULL,'exact');
INSERT INTO call VALUES('00000000-0000-0000-0000-00000000000f','00000000-0000-0000-0000-00000000000f',1793750400015,'miss','chat',1,'bob','chat of bob','m15','u15',NULL,'open-webui',200,'complete',1000,2000,'claude-opus-5-5',3,0,0,4,5,1,0,1000,'exact',0,NULL,X'33bcc3ccf30c620309ce35154a38e4900ed5b85b51adbd80cd1753263c8a7c3d',X'0abc0707a8830297f4eafef0573ef57216219f0c749b7a880bde493698276b69',X'be021116331435d553f3f9bf4d9506d318dc2e3171307896ca6ed8b77ff5aaa5',NULL,'exact');
INSERT INTO call VALUES('00000000-0000-0000-0000-000000000010','00000000-0000-0000-0000-00000000000f',1793750400025,'hit','messages',1,'bob','chat of bob','m16','u16',NULL,'open-webui',200,'complete',10,20,'claude-opus-5-5',3,0,0,4,5,1,0,0,'exact',1000,NULL,X'33bcc3ccf30c620309ce35154a38e4900ed5b85b51adbd80cd1753263c8a7c3d',X'0abc0707a8830297f4eafef0573ef57216219f0c749b7a880bde493698276b69',X'be021116331435d553f3f9bf4d9506d318dc2e3171307896ca6ed8b77ff5aaa5',NULL,'exact');
INSERT INTO call VALUES('00000000-0000-0000-0000-000000000032','00000000-0000-0000-0000-000000000033',1793750401000,'miss','messages',1,'ann','chat of ann','m50','u50',NULL,'open-webui',200,'complete',1000,2000,'claude-opus-5-5',3,0,0,4,5,1,0,2000,'exact',0,NULL,X'87833e144cf015e735a2f3c531dd8c44c2e999e67672220f6a897f5b13efc6fc',X'01d35a95568a6def46676eb101e0908cd4d1292028558a31c616a69b22a74612',X'a70ecbd60e464aa9b562f7524a493fd4d97bf96f60e6d860419d30272fbdda2c',NULL,'exact');
INSERT INTO call VALUES('00000000-0000-0000-0000-00000000003c','00000000-0000-0000-0000-00000000000f',1793750403000,'hit','messages',1,'bob','chat of bob','m60','u60',NULL,'open-webui',200,'complete',10,20,'claude-opus-5-5',3,0,0,4,5,1,0,0,'exact',1000,NULL,X'33bcc3ccf30c620309ce35154a38e4900ed5b85b51adbd80cd1753263c8a7c3d',X'0abc0707a8830297f4eafef0573ef57216219f0c749b7a880bde493698276b69',X'be021116331435d553f3f9bf4d9506d318dc2e3171307896ca6ed8b77ff5aaa5',NULL,'exact');
CREATE TABLE running (
    exchange text primary key,
    collapse_key blob,                      -- others with this key join instead of asking
    owner text not null,                    -- the process
    opened_at integer not null,
    key blob not null,
    scope text not null,
    model text not null,
    frame blob,
    head blob,
    call text not null                      -- who asked, JSON
, continues text) strict, without rowid;
INSERT INTO running VALUES('00000000-0000-0000-0000-000000000046',NULL,'00000000-0000-0000-0000-000000000063',1793750404000,X'afc3c4bb3c604a50e557c444ccf8e90d3177f3d86bbc10809f515529492110e6','bob','claude-opus-5-5',X'33bcc3ccf30c620309ce35154a38e4900ed5b85b51adbd80cd1753263c8a7c3d',X'c7df17a229bdcd24880b9835f9c96c8a764011a9c5d50792efbfd2a6dc25618d','{"id":"00000000-0000-0000-0000-000000000046","at":1793750404000,"answered_by":"miss","door":"messages","stream":true,"user":"bob","chat":"chat of bob","message":"m70","user_message":"u70","task":null,"client":"open-webui","notes":null,"client_frame":"33bcc3ccf30c620309ce35154a38e4900ed5b85b51adbd80cd1753263c8a7c3d","client_head":"c7df17a229bdcd24880b9835f9c96c8a764011a9c5d50792efbfd2a6dc25618d"}',NULL);
CREATE TABLE answer_ref (
    scope text not null,
    ref text not null,
    exchange text not null references exchange (id) on delete cascade,
    primary key (scope, ref, exchange)
) strict, without rowid;
INSERT INTO answer_ref VALUES('ann','call tool 1','00000000-0000-0000-0000-000000000001');
INSERT INTO answer_ref VALUES('bob','call tool 3','00000000-0000-0000-0000-000000000003');
INSERT INTO answer_ref VALUES('ann','call tool 5','00000000-0000-0000-0000-000000000005');
INSERT INTO answer_ref VALUES('bob','call tool 7','00000000-0000-0000-0000-000000000007');
INSERT INTO answer_ref VALUES('ann','call tool 9','00000000-0000-0000-0000-000000000009');
INSERT INTO answer_ref VALUES('bob','call tool 11','00000000-0000-0000-0000-00000000000b');
INSERT INTO answer_ref VALUES('ann','call tool 13','00000000-0000-0000-0000-00000000000d');
INSERT INTO answer_ref VALUES('bob','call tool 15','00000000-0000-0000-0000-00000000000f');
INSERT INTO answer_ref VALUES('ann','call tool 50','00000000-0000-0000-0000-000000000032');
INSERT INTO answer_ref VALUES('ann','call tool 51','00000000-0000-0000-0000-000000000033');
CREATE TABLE price (
    model text not null,
    since text not null,                    -- the first day, YYYY-MM-DD in UTC
    above integer not null,                 -- 0: the usual price; else of prompts with more tokens than this
    input integer not null,
    output integer not null,
    cache_write_5m integer not null,
    cache_write_1h integer not null,
    cache_read integer not null,
    primary key (model, since, above)
) strict, without rowid;
CREATE TABLE rollup (
    hour integer primary key,               -- since the Unix epoch, UTC
    totals blob not null                    -- by quarter of an hour, model, user, chat, task, …; zstd
) strict;
INSERT INTO rollup VALUES(498192,X'010603616e6e03626f620b63686174206f6620616e6e0b63686174206f6620626f620f636c617564652d6f7075732d352d350a6f70656e2d77656275690400000501030006000103000004050100000000d00f000000010a0101140100010501030006000103000004050100d00f00000000c0ed010001be010101de010100000502040006000103000004050100000000d00f000000010a0101140100010502040006000103000004050100d00f00000000c0ed010001be010101de0101');
INSERT INTO rollup VALUES(498216,X'010603616e6e03626f620b63686174206f6620616e6e0b63686174206f6620626f620f636c617564652d6f7075732d352d350a6f70656e2d77656275690400000501030006000103000004050100000000d00f000000010a0101140100010501030006000103000004050100d00f00000000c0ed010001be010101de010100000502040006000103000004050100000000d00f000000010a0101140100010502040006000103000004050100d00f00000000c0ed010001be010101de0101');
INSERT INTO rollup VALUES(498240,X'010603616e6e03626f620b63686174206f6620616e6e0b63686174206f6620626f620f636c617564652d6f7075732d352d350a6f70656e2d77656275690400000501030006000103000004050100000000d00f000000010a0101140100010501030006000103000004050100d00f00000000c0ed010001be010101de010100000502040006000103000004050100000000d00f000000010a0101140100010502040006000103000004050100d00f00000000c0ed010001be010101de0101');
INSERT INTO rollup VALUES(498264,X'010603616e6e03626f620b63686174206f6620616e6e0b63686174206f6620626f620f636c617564652d6f7075732d352d350a6f70656e2d77656275690400000501030006000103000004050100000000d00f000000010a01011401000105010300060002060000080a0200f02e0000000080db030001be010201de010200000502040006000103000004050100000000d00f000000010a0101140100010502040006000103000004050100d00f00000000c0ed010001be010101de0101');
CREATE TABLE rollup_state (
    one integer primary key check (one = 1),
    upto integer not null,                  -- the newest `rowid` of `call` that is in the sums
    upto_call text,                         -- its id: if another call is there now, the sums are void
    version integer not null,               -- counts every change, so that two that write at once notice
    totals_from integer not null            -- what came in earlier is not counted any more: it was pruned
) strict;
INSERT INTO rollup_state VALUES(1,17,'00000000-0000-0000-0000-000000000032',1,0);
CREATE INDEX piece_blob on piece (blob);
CREATE INDEX exchange_servable on exchange (key, ended_at) where servable;
CREATE INDEX call_at on call (at);
CREATE UNIQUE INDEX running_collapse_key on running (collapse_key) where collapse_key is not null;
CREATE INDEX answer_ref_exchange on answer_ref (exchange);
CREATE INDEX call_chat on call (chat_id, key) where chat_id is not null;
COMMIT;
