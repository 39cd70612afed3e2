//! Aliases: a request for an alias becomes one for its model. The alias sets what the request leaves open, and limits it;
//! the rest of the translation does not know aliases.

use std::borrow::Cow;

use serde_json::json;

use super::{
    context::Occasion,
    note::{Note, Notes},
};
use crate::domain::{
    alias::{Alias, Aliases},
    openai,
};

/// Replaces an alias by its model and its settings. Returns the request and the alias's instructions, which go before
/// those of the client. They are separate, so that errors and notes number messages as the client does.
///
/// A background task wants a few words for the program itself, so it gets neither the alias's instructions nor its
/// effort and search.
pub(super) fn apply<'a>(
    request: &'a openai::Request,
    aliases: &'a Aliases,
    occasion: Occasion,
    notes: &mut Notes,
) -> (Cow<'a, openai::Request>, Option<&'a str>) {
    let Some(alias) = aliases.get(&request.model) else {
        return (Cow::Borrowed(request), None);
    };
    let Alias { id: _, name: _, model, effort, max_tokens, system, web_search } = alias;
    let mut request = request.clone();
    notes.add("model", format!("is an alias, which stands for {model}"));
    request.model.clone_from(model);
    if let Some(most) = max_tokens {
        limit(&mut request, most.get(), notes);
    }
    if occasion == Occasion::Task {
        if effort.is_some() || system.is_some() || *web_search {
            notes.add("model", "the alias's effort, instructions and search are not for tasks");
        }
        return (Cow::Owned(request), None);
    }
    if let Some(effort) = effort
        && !says_how_to_think(&request)
    {
        notes.add("reasoning_effort", format!("is {effort}, as the alias says"));
        request.reasoning_effort = Some(effort.clone());
    }
    if *web_search && request.web_search_options.is_none() {
        notes.add("web_search_options", "are added, because the alias searches the web");
        request.web_search_options = Some(json!({}));
    }
    if system.is_some() {
        notes.add("messages", "the alias's instructions are put before them");
    }
    (Cow::Owned(request), system.as_deref())
}

/// Routes a background task to `model`, which may be an alias. Merged answers (MOA) keep their model, because they are
/// for a person, who chose it.
pub fn route(request: &mut openai::Request, task: &str, model: Option<&str>) -> Option<Note> {
    let model =
        model.filter(|model| *model != request.model && task != "moa_response_generation")?;
    model.clone_into(&mut request.model);
    let what = format!("is {model}, the model for background tasks");
    Some(Note { field: "model".to_owned(), what })
}

/// Sets the limit if there is none, and lowers it to `most`.
fn limit(request: &mut openai::Request, most: u32, notes: &mut Notes) {
    let openai::Request { max_tokens, max_completion_tokens, .. } = request;
    if max_tokens.is_none() && max_completion_tokens.is_none() {
        notes.add("max_completion_tokens", format!("is {most}, as the alias says"));
        *max_completion_tokens = Some(f64::from(most));
    }
    for (field, given) in
        [("max_completion_tokens", max_completion_tokens), ("max_tokens", max_tokens)]
    {
        if let Some(given) = given
            && *given > f64::from(most)
        {
            notes.add(field, format!("is lowered to {most}, the most that the alias allows"));
            *given = f64::from(most);
        }
    }
}

/// True if the request sets thinking or effort in any of the ways that clients use (§9.1).
fn says_how_to_think(request: &openai::Request) -> bool {
    let extra = |name| request.extra.get(name).is_some_and(|value| !value.is_null());
    let effort = request.extra.get("output_config").and_then(|config| config.get("effort"));
    request.reasoning_effort.is_some()
        || extra("thinking")
        || extra("reasoning")
        || effort.is_some_and(|effort| !effort.is_null())
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use serde_json::Value;

    use super::*;
    use crate::domain::catalog::Catalog;

    fn applied(fields: &Value, occasion: Occasion) -> (openai::Request, Option<String>, String) {
        let alias = Alias {
            id: "sage".to_owned(),
            name: None,
            model: "claude-opus-5-5".to_owned(),
            effort: Some("high".to_owned()),
            max_tokens: NonZeroU32::new(2000),
            system: Some("Be wise.".to_owned()),
            web_search: true,
        };
        let aliases = Aliases::new(vec![alias], &Catalog::builtin()).unwrap();
        let mut body = json!({"model": "sage"});
        body.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        let request = openai::Request::parse(body.to_string().as_bytes()).unwrap();
        let mut notes = Notes::default();
        let (request, system) = apply(&request, &aliases, occasion, &mut notes);
        let notes =
            notes.into_vec().into_iter().map(|note| format!("{}: {}", note.field, note.what));
        (request.into_owned(), system.map(str::to_owned), notes.collect::<Vec<_>>().join("\n"))
    }

    #[test]
    fn an_alias_says_what_the_request_leaves_open() {
        let (request, system, notes) = applied(&json!({}), Occasion::Chat);
        assert_eq!(request.model, "claude-opus-5-5");
        assert_eq!(request.reasoning_effort.as_deref(), Some("high"));
        assert_eq!(request.max_completion_tokens, Some(2000.0));
        assert_eq!(request.web_search_options, Some(json!({})));
        assert_eq!(system.as_deref(), Some("Be wise."));
        insta::assert_snapshot!(notes, @"
        model: is an alias, which stands for claude-opus-5-5
        max_completion_tokens: is 2000, as the alias says
        reasoning_effort: is high, as the alias says
        web_search_options: are added, because the alias searches the web
        messages: the alias's instructions are put before them
        ");
    }

    #[test]
    fn what_the_request_says_holds_within_the_alias_limit() {
        let fields = json!({
            "reasoning_effort": "low", "max_tokens": 100, "web_search_options": {"search_context_size": "low"}
        });
        let (request, _, _) = applied(&fields, Occasion::Plain);
        assert_eq!(request.reasoning_effort.as_deref(), Some("low"));
        assert_eq!((request.max_tokens, request.max_completion_tokens), (Some(100.0), None));
        assert_eq!(request.web_search_options, Some(json!({"search_context_size": "low"})));
        let thinking = json!({"thinking": {"type": "disabled"}, "max_tokens": 5000});
        let (request, _, notes) = applied(&thinking, Occasion::Plain);
        assert_eq!((request.reasoning_effort, request.max_tokens), (None, Some(2000.0)));
        assert!(notes.contains("max_tokens: is lowered to 2000"), "{notes}");
    }

    #[test]
    fn a_task_gets_the_model_and_the_limit_only() {
        let (request, system, notes) = applied(&json!({}), Occasion::Task);
        assert_eq!(
            (&*request.model, request.max_completion_tokens),
            ("claude-opus-5-5", Some(2000.0))
        );
        assert_eq!(
            (request.reasoning_effort, request.web_search_options, system),
            (None, None, None)
        );
        assert!(notes.contains("not for tasks"), "{notes}");
    }

    #[test]
    fn a_request_for_a_model_stays_as_it_is() {
        let (request, system, notes) =
            applied(&json!({"model": "claude-haiku-5-5"}), Occasion::Chat);
        assert_eq!((&*request.model, request.max_completion_tokens), ("claude-haiku-5-5", None));
        assert_eq!((system, &*notes), (None, ""));
    }
}
