//! Records as JSON, without null in the place of a number.
//!
//! JSON has no infinities: serde_json writes null for them, which a reader cannot tell from a field that does not apply. Here a
//! field whose number is not finite is left out, so that a reader that needs it fails where it reads it.

use std::fmt;

use serde::Serialize;
use serde::ser::{self, Error, Impossible, Serializer};

/// The JSON text of a record, on one line.
///
/// # Errors
/// Where a list has a number that is not finite, or a record cannot be serialised.
pub fn text(record: &impl Serialize) -> serde_json::Result<String> {
    serde_json::to_string(&Finite(record))
}

/// A value without those of its fields that are not finite.
struct Finite<'a, T: ?Sized>(&'a T);

impl<T: Serialize + ?Sized> Serialize for Finite<'_, T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(OnlyFinite(serializer))
    }
}

/// A serializer, or a part of one, that leaves out fields that are not finite and passes everything else on.
struct OnlyFinite<S>(S);

/// Passes simple values on.
macro_rules! pass {
    ($($name:ident: $type:ty),*) => {
        $(fn $name(self, value: $type) -> Result<S::Ok, S::Error> {
            self.0.$name(value)
        })*
    };
}

/// Passes the beginning of a compound value on.
macro_rules! begin {
    ($($name:ident($($argument:ident: $type:ty),*) -> $part:ident),*) => {
        $(fn $name(self, $($argument: $type),*) -> Result<Self::$part, S::Error> {
            self.0.$name($($argument),*).map(OnlyFinite)
        })*
    };
}

impl<S: Serializer> Serializer for OnlyFinite<S> {
    type Ok = S::Ok;
    type Error = S::Error;
    type SerializeSeq = OnlyFinite<S::SerializeSeq>;
    type SerializeTuple = OnlyFinite<S::SerializeTuple>;
    type SerializeTupleStruct = OnlyFinite<S::SerializeTupleStruct>;
    type SerializeTupleVariant = OnlyFinite<S::SerializeTupleVariant>;
    type SerializeMap = OnlyFinite<S::SerializeMap>;
    type SerializeStruct = OnlyFinite<S::SerializeStruct>;
    type SerializeStructVariant = OnlyFinite<S::SerializeStructVariant>;

    pass!(serialize_bool: bool, serialize_char: char, serialize_str: &str, serialize_bytes: &[u8]);
    pass!(serialize_i8: i8, serialize_i16: i16, serialize_i32: i32, serialize_i64: i64);
    pass!(serialize_u8: u8, serialize_u16: u16, serialize_u32: u32, serialize_u64: u64);
    pass!(serialize_unit_struct: &'static str);
    begin!(
        serialize_seq(len: Option<usize>) -> SerializeSeq,
        serialize_tuple(len: usize) -> SerializeTuple,
        serialize_tuple_struct(name: &'static str, len: usize) -> SerializeTupleStruct,
        serialize_tuple_variant(name: &'static str, index: u32, variant: &'static str, len: usize) -> SerializeTupleVariant,
        serialize_map(len: Option<usize>) -> SerializeMap,
        serialize_struct(name: &'static str, len: usize) -> SerializeStruct,
        serialize_struct_variant(name: &'static str, index: u32, variant: &'static str, len: usize) -> SerializeStructVariant
    );

    fn serialize_f32(self, value: f32) -> Result<S::Ok, S::Error> {
        check(value.into())?;
        self.0.serialize_f32(value)
    }

    fn serialize_f64(self, value: f64) -> Result<S::Ok, S::Error> {
        check(value)?;
        self.0.serialize_f64(value)
    }

    fn serialize_none(self) -> Result<S::Ok, S::Error> {
        self.0.serialize_none()
    }

    fn serialize_unit(self) -> Result<S::Ok, S::Error> {
        self.0.serialize_unit()
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<S::Ok, S::Error> {
        self.0.serialize_some(&Finite(value))
    }

    fn serialize_unit_variant(
        self,
        name: &'static str,
        index: u32,
        variant: &'static str,
    ) -> Result<S::Ok, S::Error> {
        self.0.serialize_unit_variant(name, index, variant)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        name: &'static str,
        value: &T,
    ) -> Result<S::Ok, S::Error> {
        self.0.serialize_newtype_struct(name, &Finite(value))
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        name: &'static str,
        index: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<S::Ok, S::Error> {
        self.0.serialize_newtype_variant(name, index, variant, &Finite(value))
    }
}

/// Refuses a number that no field could leave out.
fn check<E: Error>(value: f64) -> Result<(), E> {
    if value.is_finite() { Ok(()) } else { Err(E::custom("a number of a list is not finite")) }
}

/// Lists: their entries are passed on.
macro_rules! list {
    ($($part:ident::$add:ident),*) => {
        $(impl<S: ser::$part> ser::$part for OnlyFinite<S> {
            type Ok = S::Ok;
            type Error = S::Error;

            fn $add<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), S::Error> {
                self.0.$add(&Finite(value))
            }

            fn end(self) -> Result<S::Ok, S::Error> {
                self.0.end()
            }
        })*
    };
}
list!(
    SerializeSeq::serialize_element,
    SerializeTuple::serialize_element,
    SerializeTupleStruct::serialize_field,
    SerializeTupleVariant::serialize_field
);

/// Structs: a field that is not finite is left out.
macro_rules! fields {
    ($($part:ident),*) => {
        $(impl<S: ser::$part> ser::$part for OnlyFinite<S> {
            type Ok = S::Ok;
            type Error = S::Error;

            fn serialize_field<T: Serialize + ?Sized>(&mut self, name: &'static str, value: &T) -> Result<(), S::Error> {
                if is_not_finite(value) { self.0.skip_field(name) } else { self.0.serialize_field(name, &Finite(value)) }
            }

            fn skip_field(&mut self, name: &'static str) -> Result<(), S::Error> {
                self.0.skip_field(name)
            }

            fn end(self) -> Result<S::Ok, S::Error> {
                self.0.end()
            }
        })*
    };
}
fields!(SerializeStruct, SerializeStructVariant);

/// Maps: an entry that is not finite is left out. Flattened structs are maps.
impl<S: ser::SerializeMap> ser::SerializeMap for OnlyFinite<S> {
    type Ok = S::Ok;
    type Error = S::Error;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), S::Error> {
        self.0.serialize_key(key)
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), S::Error> {
        self.0.serialize_value(&Finite(value))
    }

    fn serialize_entry<K: Serialize + ?Sized, V: Serialize + ?Sized>(
        &mut self,
        key: &K,
        value: &V,
    ) -> Result<(), S::Error> {
        if is_not_finite(value) { Ok(()) } else { self.0.serialize_entry(key, &Finite(value)) }
    }

    fn end(self) -> Result<S::Ok, S::Error> {
        self.0.end()
    }
}

/// Whether a value is a number, or an optional one, that is not finite.
fn is_not_finite<T: Serialize + ?Sized>(value: &T) -> bool {
    value.serialize(IsNotFinite).is_ok()
}

/// Succeeds for a number that is not finite.
struct IsNotFinite;

/// Values that are no numbers, or integers.
macro_rules! finite {
    ($($name:ident($($type:ty),*) -> $ok:ty),*) => {
        $(fn $name(self, $(_: $type),*) -> Result<$ok, fmt::Error> {
            Err(fmt::Error)
        })*
    };
}

impl Serializer for IsNotFinite {
    type Ok = ();
    type Error = fmt::Error;
    type SerializeSeq = Impossible<(), fmt::Error>;
    type SerializeTuple = Impossible<(), fmt::Error>;
    type SerializeTupleStruct = Impossible<(), fmt::Error>;
    type SerializeTupleVariant = Impossible<(), fmt::Error>;
    type SerializeMap = Impossible<(), fmt::Error>;
    type SerializeStruct = Impossible<(), fmt::Error>;
    type SerializeStructVariant = Impossible<(), fmt::Error>;

    finite!(serialize_bool(bool) -> (), serialize_char(char) -> (), serialize_str(&str) -> (), serialize_bytes(&[u8]) -> ());
    finite!(serialize_i8(i8) -> (), serialize_i16(i16) -> (), serialize_i32(i32) -> (), serialize_i64(i64) -> ());
    finite!(serialize_u8(u8) -> (), serialize_u16(u16) -> (), serialize_u32(u32) -> (), serialize_u64(u64) -> ());
    finite!(serialize_none() -> (), serialize_unit() -> (), serialize_unit_struct(&'static str) -> ());
    finite!(
        serialize_unit_variant(&'static str, u32, &'static str) -> (),
        serialize_seq(Option<usize>) -> Self::SerializeSeq,
        serialize_tuple(usize) -> Self::SerializeTuple,
        serialize_tuple_struct(&'static str, usize) -> Self::SerializeTupleStruct,
        serialize_tuple_variant(&'static str, u32, &'static str, usize) -> Self::SerializeTupleVariant,
        serialize_map(Option<usize>) -> Self::SerializeMap,
        serialize_struct(&'static str, usize) -> Self::SerializeStruct,
        serialize_struct_variant(&'static str, u32, &'static str, usize) -> Self::SerializeStructVariant
    );

    fn serialize_f32(self, value: f32) -> Result<(), fmt::Error> {
        if value.is_finite() { Err(fmt::Error) } else { Ok(()) }
    }

    fn serialize_f64(self, value: f64) -> Result<(), fmt::Error> {
        if value.is_finite() { Err(fmt::Error) } else { Ok(()) }
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), fmt::Error> {
        value.serialize(self)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        value: &T,
    ) -> Result<(), fmt::Error> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: &T,
    ) -> Result<(), fmt::Error> {
        Err(fmt::Error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Serialize)]
    struct Inner {
        kept: f64,
        nan: f64,
        narrow: f32,
    }

    #[derive(Serialize)]
    #[serde(tag = "event", rename_all = "snake_case")]
    enum Event {
        Epoch { loss: f64, rate: Option<f32> },
    }

    #[derive(Serialize)]
    struct Record<'a> {
        text: &'a str,
        absent: Option<f64>,
        infinite: Option<f64>,
        list: Vec<f64>,
        inner: Option<Inner>,
        #[serde(flatten)]
        flat: Inner,
        #[serde(flatten)]
        event: Event,
    }

    fn inner(nan: f64) -> Inner {
        Inner { kept: 0.1, nan, narrow: 0.1 }
    }

    #[test]
    fn what_is_not_finite_is_left_out_and_what_does_not_apply_stays_null() {
        let record = |nan: f64, rate: f32| Record {
            text: "a",
            absent: None,
            infinite: Some(nan),
            list: vec![1.0, 2.5],
            inner: Some(inner(nan)),
            flat: inner(nan),
            event: Event::Epoch { loss: nan, rate: Some(rate) },
        };
        assert_eq!(
            text(&record(f64::NEG_INFINITY, f32::NAN)).unwrap(),
            r#"{"text":"a","absent":null,"list":[1.0,2.5],"inner":{"kept":0.1,"narrow":0.1},"kept":0.1,"narrow":0.1,"event":"epoch"}"#
        );
        let finite = record(1.5, 0.1);
        assert_eq!(text(&finite).unwrap(), serde_json::to_string(&finite).unwrap());
        assert!(text(&vec![f64::NAN]).unwrap_err().to_string().contains("not finite"));
    }
}
