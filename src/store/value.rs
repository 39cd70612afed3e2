//! Values that are bound to statements, the same for both databases. Each knows its type, also if it is null: Postgres
//! wants to know it.

use std::borrow::Cow;

use rusqlite::{
    ToSql,
    types::{ToSqlOutput, ValueRef},
};
use sqlx::{
    Database, Encode, Postgres, Sqlite, Type, encode::IsNull, error::BoxDynError,
    postgres::PgTypeInfo,
};

/// A value for a column; `None` is null.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Value<'v> {
    Bool(Option<bool>),
    Integer(Option<i64>),
    Text(Option<Cow<'v, str>>),
    Bytes(Option<Cow<'v, [u8]>>),
}

impl Value<'_> {
    /// The same value, which borrows nothing.
    pub(super) fn into_owned(self) -> Value<'static> {
        match self {
            Self::Bool(value) => Value::Bool(value),
            Self::Integer(value) => Value::Integer(value),
            Self::Text(text) => Value::Text(text.map(|text| Cow::Owned(text.into_owned()))),
            Self::Bytes(bytes) => Value::Bytes(bytes.map(|bytes| Cow::Owned(bytes.into_owned()))),
        }
    }
}

/// A type that has a form for a column.
pub(super) trait Bind<'v>: Sized {
    /// The null of its column type.
    const NULL: Value<'static>;

    /// Converts it into the form for its column.
    fn into_value(self) -> Value<'v>;
}

impl<'v, T: Bind<'v>> Bind<'v> for Option<T> {
    const NULL: Value<'static> = T::NULL;

    fn into_value(self) -> Value<'v> {
        self.map_or(T::NULL, T::into_value)
    }
}

/// Gives types a form for columns: by value, and by reference.
macro_rules! bind {
    ($($type:ty),+ => $kind:ident: |$value:ident| $form:expr) => {$(
        impl<'v> $crate::store::value::Bind<'v> for $type {
            const NULL: $crate::store::value::Value<'static> =
                $crate::store::value::Value::$kind(None);

            fn into_value(self) -> $crate::store::value::Value<'v> {
                let $value = self;
                $crate::store::value::Value::$kind(Some($form))
            }
        }

        impl<'v> $crate::store::value::Bind<'v> for &$type {
            const NULL: $crate::store::value::Value<'static> =
                $crate::store::value::Value::$kind(None);

            fn into_value(self) -> $crate::store::value::Value<'v> {
                $crate::store::value::Bind::into_value(*self)
            }
        }
    )+};
}
pub(super) use bind;

bind!(bool => Bool: |value| value);
bind!(i64 => Integer: |value| value);
bind!(u32 => Integer: |value| i64::from(value));

/// Gives borrowed and owned forms of a type a form for columns.
macro_rules! bind_borrowed {
    ($borrowed:ty, $owned:ty => $kind:ident) => {
        impl<'v> Bind<'v> for &'v $borrowed {
            const NULL: Value<'static> = Value::$kind(None);

            fn into_value(self) -> Value<'v> {
                Value::$kind(Some(Cow::Borrowed(self)))
            }
        }

        impl<'v> Bind<'v> for &'v $owned {
            const NULL: Value<'static> = Value::$kind(None);

            fn into_value(self) -> Value<'v> {
                Value::$kind(Some(Cow::Borrowed(self)))
            }
        }

        impl<'v> Bind<'v> for $owned {
            const NULL: Value<'static> = Value::$kind(None);

            fn into_value(self) -> Value<'v> {
                Value::$kind(Some(Cow::Owned(self)))
            }
        }
    };
}

bind_borrowed!(str, String => Text);
bind_borrowed!([u8], Vec<u8> => Bytes);

/// A value that is written as text.
impl<'v, T: std::fmt::Display> Bind<'v> for sqlx::types::Text<T> {
    const NULL: Value<'static> = Value::Text(None);

    fn into_value(self) -> Value<'v> {
        Value::Text(Some(Cow::Owned(self.0.to_string())))
    }
}

impl ToSql for Value<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            Self::Bool(Some(value)) => ValueRef::Integer((*value).into()),
            Self::Integer(Some(value)) => ValueRef::Integer(*value),
            Self::Text(Some(text)) => ValueRef::Text(text.as_bytes()),
            Self::Bytes(Some(bytes)) => ValueRef::Blob(bytes),
            Self::Bool(None) | Self::Integer(None) | Self::Text(None) | Self::Bytes(None) => {
                ValueRef::Null
            }
        }))
    }
}

/// A text as Postgres takes it, which has no text with a zero character.
pub(super) fn without_zero(text: &str) -> Cow<'_, str> {
    if text.contains('\0') {
        Cow::Owned(text.replace('\0', "\u{FFFD}"))
    } else {
        Cow::Borrowed(text)
    }
}

impl Type<Sqlite> for Value<'_> {
    fn type_info() -> <Sqlite as Database>::TypeInfo {
        <str as Type<Sqlite>>::type_info()
    }
}

impl Encode<'_, Sqlite> for Value<'_> {
    fn encode_by_ref(
        &self,
        buffer: &mut <Sqlite as Database>::ArgumentBuffer,
    ) -> Result<IsNull, BoxDynError> {
        match self {
            Self::Bool(value) => Encode::<Sqlite>::encode_by_ref(value, buffer),
            Self::Integer(value) => Encode::<Sqlite>::encode_by_ref(value, buffer),
            Self::Text(text) => Encode::<Sqlite>::encode(text.as_deref(), buffer),
            Self::Bytes(bytes) => Encode::<Sqlite>::encode(bytes.as_deref(), buffer),
        }
    }
}

impl Type<Postgres> for Value<'_> {
    fn type_info() -> PgTypeInfo {
        <str as Type<Postgres>>::type_info()
    }
}

impl Encode<'_, Postgres> for Value<'_> {
    fn encode_by_ref(
        &self,
        buffer: &mut <Postgres as Database>::ArgumentBuffer,
    ) -> Result<IsNull, BoxDynError> {
        match self {
            Self::Bool(value) => Encode::<Postgres>::encode_by_ref(value, buffer),
            Self::Integer(value) => Encode::<Postgres>::encode_by_ref(value, buffer),
            Self::Text(text) => {
                let text = text.as_deref().map(without_zero);
                Encode::<Postgres>::encode(text.as_deref(), buffer)
            }
            Self::Bytes(bytes) => Encode::<Postgres>::encode(bytes.as_deref(), buffer),
        }
    }

    fn produces(&self) -> Option<PgTypeInfo> {
        Some(match self {
            Self::Bool(_) => <bool as Type<Postgres>>::type_info(),
            Self::Integer(_) => <i64 as Type<Postgres>>::type_info(),
            Self::Text(_) => <str as Type<Postgres>>::type_info(),
            Self::Bytes(_) => <[u8] as Type<Postgres>>::type_info(),
        })
    }
}
