//! Rows of either database, and the types that they are read as.

use sqlx::{ColumnIndex, Decode, Postgres, Row, Sqlite, Type, postgres::PgRow, sqlite::SqliteRow};

/// A row of either database.
pub(super) enum AnyRow {
    Sqlite(SqliteRow),
    Postgres(PgRow),
}

impl AnyRow {
    /// Reads a column, which may borrow from the row.
    pub(super) fn get<'r, T, I>(&'r self, index: I) -> sqlx::Result<T>
    where
        T: Decode<'r, Sqlite> + Type<Sqlite> + Decode<'r, Postgres> + Type<Postgres>,
        I: ColumnIndex<SqliteRow> + ColumnIndex<PgRow>,
    {
        match self {
            Self::Sqlite(row) => row.try_get(index),
            Self::Postgres(row) => row.try_get(index),
        }
    }

    /// Reads a column with a number as a type that does not hold all numbers.
    pub(super) fn get_number<T>(&self, column: &'static str) -> sqlx::Result<T>
    where
        T: TryFrom<i64, Error: std::error::Error + Send + Sync + 'static>,
    {
        T::try_from(self.get(column)?).map_err(|source| sqlx::Error::ColumnDecode {
            index: column.to_owned(),
            source: source.into(),
        })
    }
}

/// A type that a row is read as. Each type is compiled once, not for each database as with the trait of sqlx.
pub(super) trait FromRow: Sized {
    fn from_row(row: &AnyRow) -> sqlx::Result<Self>;
}

/// Reads the fields of a struct from the columns of their names, or of `field = "another"`. With `field: number` a column is
/// converted from an integer, and with `field: columns` a field takes several columns.
macro_rules! from_row {
    ($type:ty { $($field:ident $(: $how:ident)? $(= $column:literal)?),+ $(,)? }) => {
        impl $crate::store::row::FromRow for $type {
            fn from_row(row: &$crate::store::row::AnyRow) -> sqlx::Result<Self> {
                Ok(Self { $($field: $crate::store::row::from_row!(@row, $field $(: $how)? $(= $column)?),)+ })
            }
        }
    };
    (@$row:ident, $field:ident) => { $row.get(stringify!($field))? };
    (@$row:ident, $field:ident = $column:literal) => { $row.get($column)? };
    (@$row:ident, $field:ident: number) => { $row.get_number(stringify!($field))? };
    (@$row:ident, $field:ident: columns) => { $crate::store::row::FromRow::from_row($row)? };
}
pub(super) use from_row;

/// Reads tuples from the columns in their order.
macro_rules! tuple {
    ($($type:ident $at:literal),+) => {
        impl<$($type),+> FromRow for ($($type,)+)
        where
            $($type: for<'r> Decode<'r, Sqlite> + Type<Sqlite> + for<'r> Decode<'r, Postgres> + Type<Postgres>,)+
        {
            fn from_row(row: &AnyRow) -> sqlx::Result<Self> {
                Ok(($(row.get::<$type, usize>($at)?,)+))
            }
        }
    };
}
tuple!(A 0);
tuple!(A 0, B 1);
tuple!(A 0, B 1, C 2);
tuple!(A 0, B 1, C 2, D 3);
tuple!(A 0, B 1, C 2, D 3, E 4);
tuple!(A 0, B 1, C 2, D 3, E 4, F 5);
tuple!(A 0, B 1, C 2, D 3, E 4, F 5, G 6);
tuple!(A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7);
