//! A value in 16 bytes: a tag that tells type and encoding, and one pointer.
//!
//! ```text
//!   0         1        8
//!   [tag     ][       ][pointer]
//!    type in the upper half, encoding in the lower
//! ```
//!
//! As an enum of enums it would take 24 bytes, for the compiler gives each of them a tag of its own; with a key of 16
//! bytes that is the difference between the allocator's 48- and 64-byte class. So every type is an enum whose
//! discriminants are its own numbers and no other type's, and a [`Value`] is the union of them.
//!
//! Invariant: the first byte of each type is one of its own tags, in every write. The compiler sees to it: the types
//! are `repr(u8)` (or `repr(C)` with such an enum in front), which puts the discriminant there, and a `&mut T` into a
//! value can only write another `T`. So the upper half of the first byte always says which member of the union lives.
//!
//! To add a type: give it a number in [`tag`] and a row in `types!`, and let its representation begin with it.
//!
//! Mirrors: type, encoding and ptr of robj (server.h).
//!
//! Unsafe: reading the member of a union that the tag names.
#![allow(unsafe_code)]

use std::fmt;
use std::mem::ManuallyDrop;

use super::{Array, Foreign, Hash, List, Set, Stream, Vset, Zset};

/// The first tag of each type; the fifteen after it are its own too.
pub(super) mod tag {
    pub const LIST: u8 = 0x10;
    pub const SET: u8 = 0x20;
    pub const ZSET: u8 = 0x30;
    pub const HASH: u8 = 0x40;
    pub const STREAM: u8 = 0x50;
    pub const ARRAY: u8 = 0x60;
    pub const VSET: u8 = 0x70;
    pub const FOREIGN: u8 = 0x80;
    /// The bits that tell the type.
    pub const TYPE: u8 = 0xF0;
}

/// A value that is not a string.
pub struct Value(Slot);

/// A key of 16 bytes and a value share a 48-byte allocation because of this.
const _: () = assert!(size_of::<Value>() == 16 && align_of::<Value>() == 8);

/// A type a key can hold, strings aside.
pub trait Held: Into<Value> {
    /// The value, if it is of this type.
    fn of(value: &Value) -> Option<&Self>;
    /// The value, if it is of this type, to be changed.
    fn of_mut(value: &mut Value) -> Option<&mut Self>;
}

macro_rules! types {
    ($($Type:ident: $member:ident, $tag:ident;)*) => {
        #[repr(C)]
        union Slot {
            tag: u8,
            $($member: ManuallyDrop<$Type>,)*
        }

        /// A value, seen as the type it is.
        #[derive(Debug, Clone, Copy)]
        pub enum Typed<'a> {
            $($Type(&'a $Type),)*
        }

        impl Value {
            /// The value as the type it is.
            #[inline]
            pub fn typed(&self) -> Typed<'_> {
                match self.tag() {
                    // SAFETY: the tag tells which member it is.
                    $(tag::$tag => Typed::$Type(unsafe { &self.0.$member }),)*
                    _ => unreachable!("a tag of no type"),
                }
            }
        }

        impl Drop for Value {
            #[inline]
            fn drop(&mut self) {
                match self.tag() {
                    // SAFETY: the tag tells which member it is, and the member is not used after this.
                    $(tag::$tag => unsafe { ManuallyDrop::drop(&mut self.0.$member) },)*
                    _ => unreachable!("a tag of no type"),
                }
            }
        }

        impl Clone for Value {
            fn clone(&self) -> Value {
                match self.typed() {
                    $(Typed::$Type(held) => held.clone().into(),)*
                }
            }
        }

        $(
            const _: () = assert!(size_of::<$Type>() == size_of::<Value>());

            impl From<$Type> for Value {
                #[inline]
                fn from(held: $Type) -> Value {
                    let value = Value(Slot { $member: ManuallyDrop::new(held) });
                    debug_assert_eq!(value.tag(), tag::$tag);
                    value
                }
            }

            impl Held for $Type {
                #[inline]
                fn of(value: &Value) -> Option<&Self> {
                    // SAFETY: the tag tells which member it is.
                    (value.tag() == tag::$tag).then(|| unsafe { &*value.0.$member })
                }

                #[inline]
                fn of_mut(value: &mut Value) -> Option<&mut Self> {
                    // SAFETY: the tag tells which member it is; what is written through the result keeps it.
                    (value.tag() == tag::$tag).then(|| unsafe { &mut *value.0.$member })
                }
            }
        )*
    };
}

types! {
    Array: array, ARRAY;
    Foreign: foreign, FOREIGN;
    Hash: hash, HASH;
    List: list, LIST;
    Set: set, SET;
    Stream: stream, STREAM;
    Vset: vset, VSET;
    Zset: zset, ZSET;
}

impl Value {
    #[inline]
    fn tag(&self) -> u8 {
        // SAFETY: every member begins with its tag.
        unsafe { self.0.tag & tag::TYPE }
    }
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.typed().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collections::table::NewValue;
    use crate::types::list::{End, ListLimits};
    use crate::types::set::SetLimits;
    use crate::types::vset::{Quant, Shape};
    use crate::types::{Kind, hash, zset};

    const SET: SetLimits = SetLimits {
        intset_entries: 2,
        listpack_entries: 3,
        listpack_value: 8,
        seed: 1,
    };
    const HASH: hash::Limits = hash::Limits {
        entries: 2,
        value: 8,
        seed: 1,
    };
    const ZSET: zset::Limits = zset::Limits {
        entries: 1,
        value: 8,
        seed: 1,
    };

    fn change<T: Held>(value: &mut Value, f: impl FnOnce(&mut T)) {
        f(T::of_mut(value).expect("of this type"));
    }

    /// Each type takes each of its encodings through a `&mut` into the value, which stays what it is.
    #[test]
    fn a_value_stays_of_its_type_whatever_its_encoding() {
        let mut set = Value::from(Set::intset());
        let mut seen = vec![];
        for member in ["1", "2", "x", "y", "z"] {
            change(&mut set, |set: &mut Set| {
                set.add(member.as_bytes(), SET);
            });
            seen.push((set.kind(), set.encoding(), set.count()));
        }
        let encodings = ["intset", "intset", "listpack", "hashtable", "hashtable"];
        for (at, encoding) in encodings.into_iter().enumerate() {
            assert_eq!(seen[at], (Kind::Set, encoding, at + 1));
        }

        let mut hash = Value::from(Hash::new());
        let mut seen = vec![];
        for field in ["a", "b", "c"] {
            change(&mut hash, |hash: &mut Hash| {
                hash.set(field.as_bytes(), NewValue::Bytes(b"v"), false, &HASH);
                hash.set_deadline(field.as_bytes(), Some(1 << 40));
            });
            seen.push((hash.kind(), hash.encoding()));
        }
        assert_eq!(
            seen,
            [
                (Kind::Hash, "listpackex"),
                (Kind::Hash, "listpackex"),
                (Kind::Hash, "hashtable")
            ]
        );

        let mut zset = Value::from(Zset::new(1, 1, ZSET));
        for (at, encoding) in ["listpack", "skiplist"].into_iter().enumerate() {
            change(&mut zset, |zset: &mut Zset| {
                let member = [b'a' + at as u8];
                let conditions = zset::Conditions::default();
                zset.add(&member, 1.0, conditions, ZSET).expect("a number");
            });
            assert_eq!((zset.kind(), zset.encoding()), (Kind::Zset, encoding));
        }

        let mut list = Value::from(List::new());
        let limits = ListLimits::default();
        for encoding in ["listpack", "quicklist"] {
            change(&mut list, |list: &mut List| {
                list.grow_for(5000, 1, limits);
                list.push(End::Tail, &[b'x'; 5000], limits);
            });
            assert_eq!((list.kind(), list.encoding()), (Kind::List, encoding));
        }

        let shape = Shape {
            quant: Quant::Q8,
            dim: 3,
            m: 16,
        };
        for value in [
            set,
            hash,
            zset,
            list,
            Array::new().into(),
            Stream::new().into(),
            Vset::new(shape, None, 1).into(),
        ] {
            let copy = value.clone();
            assert_eq!((copy.kind(), copy.count()), (value.kind(), value.count()));
            assert_eq!(
                [
                    Array::of(&copy).is_some(),
                    Hash::of(&copy).is_some(),
                    List::of(&copy).is_some(),
                    Set::of(&copy).is_some(),
                    Stream::of(&copy).is_some(),
                    Vset::of(&copy).is_some(),
                    Zset::of(&copy).is_some()
                ]
                .map(usize::from)
                .iter()
                .sum::<usize>(),
                1
            );
            drop(value);
            assert_eq!(copy.count(), copy.clone().count());
        }
    }
}
