//! Weights of schemas, which bound the copies that are made of them: a reference has a few bytes and may lead to millions.

use serde_json::Value;

/// Bytes of text that weigh as much as a value.
const TEXT: usize = 256;

/// The number of values, long texts counted as several, if it is at most `most`.
pub(in crate::domain::translate) fn weight(value: &Value, most: usize) -> Option<usize> {
    let mut todo = vec![value];
    let mut weight = 0_usize;
    while let Some(value) = todo.pop() {
        weight += 1;
        match value {
            Value::Array(list) => todo.extend(list),
            Value::Object(map) => {
                weight += map.keys().map(|name| name.len() / TEXT).sum::<usize>();
                todo.extend(map.values());
            }
            Value::String(text) => weight += text.len() / TEXT,
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
        if weight > most {
            return None;
        }
    }
    Some(weight)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_and_long_texts_weigh() {
        let schema = json!({"a": [1, null, "b"], "c": "x".repeat(2 * TEXT)});
        assert_eq!(weight(&schema, 100), Some(8));
        assert_eq!(weight(&schema, 8), Some(8));
        assert_eq!(weight(&schema, 7), None);
        assert_eq!(weight(&json!({"x".repeat(TEXT): 1}), 100), Some(3));
    }
}
