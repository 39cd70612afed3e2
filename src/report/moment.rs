//! Moments: in RFC 3339 for other programs, to the minute for people.

use jiff::Timestamp;
use serde::Serializer;

use crate::domain::exchange::UnixMillis;

/// A moment in RFC 3339, UTC.
pub(super) fn rfc3339(at: UnixMillis) -> String {
    Timestamp::from_millisecond(at.0).map_or_else(|_| at.0.to_string(), |at| format!("{at:.3}"))
}

/// Serializes a moment in RFC 3339.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
pub(super) fn serialize<S: Serializer>(at: &UnixMillis, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&rfc3339(*at))
}

/// The same for one that may be missing.
#[expect(clippy::ref_option, reason = "serde passes references")]
pub(super) fn serialize_some<S: Serializer>(
    at: &Option<UnixMillis>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&at.map(rfc3339).unwrap_or_default())
}

/// Formats a moment to the minute, UTC.
pub(super) fn to_the_minute(at: UnixMillis) -> String {
    Timestamp::from_millisecond(at.0).unwrap_or_default().strftime("%Y-%m-%d %H:%M").to_string()
}
