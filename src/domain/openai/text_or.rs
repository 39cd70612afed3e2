//! Types that stand in JSON as a string or as something else. Not `#[serde(untagged)]`, which would lose the path to
//! an error inside.

use std::{fmt, marker::PhantomData};

use serde::{
    Deserialize,
    de::{
        self, MapAccess, SeqAccess, Visitor,
        value::{MapAccessDeserializer, SeqAccessDeserializer},
    },
};

/// A type that is read from a string or from another JSON value.
pub(super) trait TextOr<'de>: Sized {
    type Other: Deserialize<'de>;
    const EXPECTED: &'static str;
    fn from_text(text: String) -> Self;
    fn from_other(other: Self::Other) -> Self;
}

pub(super) struct TextOrVisitor<T>(pub(super) PhantomData<T>);

impl<'de, T: TextOr<'de>> Visitor<'de> for TextOrVisitor<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(T::EXPECTED)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        Ok(T::from_text(text.to_owned()))
    }

    fn visit_string<E: de::Error>(self, text: String) -> Result<T, E> {
        Ok(T::from_text(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<T, A::Error> {
        T::Other::deserialize(SeqAccessDeserializer::new(seq)).map(T::from_other)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
        T::Other::deserialize(MapAccessDeserializer::new(map)).map(T::from_other)
    }
}

/// Implements `Deserialize` by [`TextOr`], which coherence does not allow for all its types at once.
macro_rules! deserialize_text_or {
    ($($name:ident),+) => {$(
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_any($crate::domain::openai::text_or::TextOrVisitor(std::marker::PhantomData))
            }
        }
    )+};
}

pub(super) use deserialize_text_or;
