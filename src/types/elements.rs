//! The elements of a value, whatever its encoding: what DEBUG DIGEST compares.
//!
//! To add a type: declare whether the order of its elements counts, and hand out each element, as its parts.
//! Two values that a client cannot tell apart must tell the same.
//!
//! Mirrors: `xorObjectDigest` of debug.c.

use super::stream::StreamId;
use super::{Kind, Typed, Value};
use crate::util::num::{FloatBuf, IntBuf};

/// Whether the order in which elements are handed out belongs to the value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// The order belongs to the value: a list, a stream.
    Counts,
    /// It depends on the encoding and on chance.
    IsChance,
}

impl Value {
    /// Whether the order of elements is part of the value.
    pub fn order(&self) -> Order {
        match self.kind() {
            Kind::String | Kind::List | Kind::Stream => Order::Counts,
            Kind::Array | Kind::Hash | Kind::Set | Kind::Vset | Kind::Zset | Kind::Module => {
                Order::IsChance
            }
        }
    }

    /// Tells every element: a member; a field and its value; a member and its score. Of a foreign type only its owner
    /// knows the elements. O(elements).
    pub fn elements(&self, tell: &mut dyn FnMut(&[&[u8]])) {
        match self.typed() {
            Typed::Foreign(_) => {}
            Typed::Array(array) => {
                let (mut digits, mut at) = (IntBuf::new(), IntBuf::new());
                array.for_each(|index, value| {
                    tell(&[at.format_u64(index), value.as_bytes(&mut digits)]);
                });
                if let Some(last) = array.last_insert() {
                    tell(&[at.format_u64(last)]);
                }
            }
            Typed::Hash(hash) => {
                for field in hash.iter() {
                    let (name, value) = (field.name.to_vec(), field.value.to_vec());
                    match field.deadline {
                        None => tell(&[&name, &value]),
                        // When it is does not count, as it does not for keys.
                        Some(_) => tell(&[&name, &value, b"!!hexpire!!"]),
                    }
                }
            }
            Typed::List(list) => {
                let mut digits = IntBuf::new();
                list.for_each(|element| tell(&[element.as_bytes(&mut digits)]));
            }
            Typed::Set(set) => {
                let mut digits = IntBuf::new();
                set.iter()
                    .for_each(|member| tell(&[member.as_bytes(&mut digits)]));
            }
            Typed::Stream(stream) => {
                let mut entries = stream.entries(StreamId::MIN, StreamId::MAX, false);
                while let Some(entry) = entries.next() {
                    let mut parts = vec![format!("{}.{}", entry.id.ms, entry.id.seq).into_bytes()];
                    while let Some((field, value)) = entries.field() {
                        parts.extend([field.to_vec(), value.to_vec()]);
                    }
                    let parts: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
                    tell(&parts);
                }
            }
            Typed::Vset(set) => {
                let (mut len, mut dim) = (IntBuf::new(), IntBuf::new());
                let shape = set.shape();
                tell(&[
                    len.format_u64(set.len() as u64),
                    dim.format_u64(shape.dim.into()),
                ]);
                for node in set.nodes() {
                    let (bytes, name) = (node.stored().bytes, node.name());
                    match node.attribute() {
                        Some(attribute) => tell(&[bytes, name, attribute]),
                        None => tell(&[bytes, name]),
                    }
                }
            }
            Typed::Zset(zset) => {
                let (mut digits, mut score) = (IntBuf::new(), FloatBuf::new());
                for scored in zset.iter() {
                    let member = scored.member.as_bytes(&mut digits);
                    tell(&[member, score.format_shortest(scored.score)]);
                }
            }
        }
    }
}
