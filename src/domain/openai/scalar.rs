//! Numbers, booleans and words as sloppy clients write them: `"0.7"`, `"true"`, `42` for a name, an empty text for
//! nothing. Fields that are filled in by hand or from environment variables come so.

use std::{fmt, marker::PhantomData};

use serde::{
    Deserializer,
    de::{self, Unexpected, Visitor},
};
use serde_json::Value;

/// A type that is read from any scalar.
trait Scalar: Sized {
    const EXPECTED: &'static str;
    fn of_number(number: f64) -> Option<Self>;
    fn of_bool(value: bool) -> Option<Self>;
    /// From a text that is not blank, without white space around it.
    fn of_text(text: &str) -> Option<Self>;
}

impl Scalar for f64 {
    const EXPECTED: &'static str = "a number";

    fn of_number(number: f64) -> Option<Self> {
        Some(number)
    }

    fn of_bool(_: bool) -> Option<Self> {
        None
    }

    fn of_text(text: &str) -> Option<Self> {
        text.parse().ok().filter(|number: &f64| number.is_finite())
    }
}

impl Scalar for i64 {
    const EXPECTED: &'static str = "a whole number";

    #[expect(clippy::cast_possible_truncation, reason = "saturates")]
    fn of_number(number: f64) -> Option<Self> {
        (number.fract() == 0.0).then_some(number as Self)
    }

    fn of_bool(_: bool) -> Option<Self> {
        None
    }

    fn of_text(text: &str) -> Option<Self> {
        f64::of_text(text).and_then(Self::of_number)
    }
}

impl Scalar for bool {
    const EXPECTED: &'static str = "a boolean";

    fn of_number(number: f64) -> Option<Self> {
        match i64::of_number(number)? {
            0 => Some(false),
            1 => Some(true),
            _ => None,
        }
    }

    fn of_bool(value: bool) -> Option<Self> {
        Some(value)
    }

    fn of_text(text: &str) -> Option<Self> {
        match text.to_ascii_lowercase().as_str() {
            "true" | "1" => Some(true),
            "false" | "0" => Some(false),
            _ => None,
        }
    }
}

/// A number; `None` for null and a blank text.
pub(super) fn number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<f64>, D::Error> {
    deserializer.deserialize_any(ScalarVisitor(PhantomData))
}

/// A whole number; `None` for null and a blank text.
pub(super) fn whole<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<i64>, D::Error> {
    deserializer.deserialize_any(ScalarVisitor(PhantomData))
}

/// A boolean; `None` for null and a blank text.
pub(super) fn boolean<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<bool>, D::Error> {
    deserializer.deserialize_any(ScalarVisitor(PhantomData))
}

/// The number that a value is or writes.
pub fn number_of(value: &Value) -> Option<f64> {
    value.as_f64().or_else(|| f64::of_text(value.as_str()?.trim()))
}

/// Visits any scalar.
struct ScalarVisitor<T>(PhantomData<T>);

impl<T: Scalar> Visitor<'_> for ScalarVisitor<T> {
    type Value = Option<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(T::EXPECTED)
    }

    fn visit_unit<E: de::Error>(self) -> Result<Option<T>, E> {
        Ok(None)
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<Option<T>, E> {
        let read = T::of_bool(value).map(Some);
        read.ok_or_else(|| E::invalid_type(Unexpected::Bool(value), &T::EXPECTED))
    }

    #[expect(clippy::cast_precision_loss, reason = "as far as numbers of JSON go")]
    fn visit_i64<E: de::Error>(self, number: i64) -> Result<Option<T>, E> {
        self.visit_f64(number as f64)
    }

    #[expect(clippy::cast_precision_loss, reason = "as far as numbers of JSON go")]
    fn visit_u64<E: de::Error>(self, number: u64) -> Result<Option<T>, E> {
        self.visit_f64(number as f64)
    }

    fn visit_f64<E: de::Error>(self, number: f64) -> Result<Option<T>, E> {
        let read = T::of_number(number).map(Some);
        read.ok_or_else(|| E::invalid_type(Unexpected::Float(number), &T::EXPECTED))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Option<T>, E> {
        let text = text.trim();
        if text.is_empty() {
            return Ok(None);
        }
        let read = T::of_text(text).map(Some);
        read.ok_or_else(|| E::invalid_type(Unexpected::Str(text), &T::EXPECTED))
    }
}
