//! `strict` of tools: arguments that are held to their schema, as far as Anthropic can (`reference/anthropic-api.md`
//! §1.4).

use serde_json::Value;

use super::{note::Notes, schema::Allowance};

/// Rewrites the schema of a strict tool such that arguments are held to it; `false` if they cannot be.
pub(super) fn hold(
    schema: &mut Value,
    path: &dyn Fn(&str) -> String,
    allowance: &mut Allowance,
    notes: &mut Notes,
) -> bool {
    match allowance.tool(schema) {
        Ok(held) => {
            held.changes().for_each(|what| notes.once(|| path(".parameters"), what));
            *schema = held.schema;
            true
        }
        Err(why) => {
            let what = format!("arguments are not held to the schema, because {why}");
            notes.once(|| path(".strict"), &what);
            false
        }
    }
}
