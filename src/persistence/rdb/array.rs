//! An array in a file: how many values, the cursor if there is one, then index, kind and value of each.
//!
//! ```text
//!   count  0 | 1 last  (index kind value)…     lengths as everywhere; integers and floats as eight bytes
//! ```
//!
//! Mirrors: rdbSaveArrayObject() and its counterpart in rdb.c.
//! Differs: fractions are written as the text they came as.

use std::ops::ControlFlow;

use super::read_value as layout;
use super::{Decoder, Encoder, Error};
use crate::collections::listpack::LpEntry;
use crate::types::array::{Array, INDEX_MAX};
use crate::util::num::{IntBuf, format_f64};

/// The tag of an array's element: how its value is written.
#[doc(alias = "AR_RDB_TAG_SDS")]
mod tag {
    pub const TEXT: u64 = 0;
    pub const INTEGER: u64 = 1;
    pub const FLOAT: u64 = 2;
    pub const SHORT_TEXT: u64 = 3;
}

/// The longest text Redis keeps without an allocation.
#[doc(alias = "AR_SMALLSTR_MAXLEN")]
const SHORT_TEXT_MAX: usize = 7;
/// Bits of an integer that Redis keeps without an allocation, its sign included.
const SHORT_INTEGER_BITS: u32 = 62;

#[doc(alias = "rdbLoadArrayObject")]
pub(super) fn read(dec: &mut Decoder<'_>) -> Result<Array, Error> {
    let count = layout::count(dec)?;
    let last_insert = match dec.length()? {
        0 => None,
        1 => Some(dec.length()?),
        _ => return Err(dec.corrupt("Array insert cursor is neither there nor not")),
    };
    if last_insert == Some(u64::MAX) {
        return Err(dec.corrupt("Array insert cursor out of range"));
    }
    let (mut array, mut text, mut digits) = (Array::new(), Vec::new(), IntBuf::new());
    for _ in 0..count {
        let index = dec.length()?;
        if index > INDEX_MAX {
            return Err(dec.corrupt("Array index out of range"));
        }
        let new = match dec.length()? {
            tag::TEXT | tag::SHORT_TEXT => {
                dec.string_into(&mut text)?;
                array.set(index, &text)
            }
            tag::INTEGER => {
                let number = i64::from_le_bytes(dec.array()?);
                array.set(index, digits.format(number))
            }
            tag::FLOAT => {
                let number = f64::from_le_bytes(dec.array()?);
                array.set(index, format_f64(number).as_bytes())
            }
            _ => return Err(dec.corrupt("Unknown kind of array element")),
        };
        if !new {
            return Err(dec.corrupt("Duplicate array index"));
        }
    }
    array.set_last_insert(last_insert);
    Ok(array)
}

#[doc(alias = "rdbSaveArrayObject")]
pub(super) fn write(enc: &mut Encoder<'_>, array: &Array) -> std::io::Result<()> {
    enc.length(array.count());
    match array.last_insert() {
        None => enc.length(0),
        Some(last) => {
            enc.length(1);
            enc.length(last);
        }
    }
    let result = array.visit(0, INDEX_MAX, &mut |index, value| {
        enc.length(index);
        match value {
            LpEntry::Int(n) if n << (64 - SHORT_INTEGER_BITS) >> (64 - SHORT_INTEGER_BITS) == n => {
                enc.length(tag::INTEGER);
                enc.raw(&n.to_le_bytes());
            }
            LpEntry::Int(n) => {
                enc.length(tag::TEXT);
                enc.string(IntBuf::new().format(n));
            }
            LpEntry::Str(text) => {
                let short = text.len() <= SHORT_TEXT_MAX;
                enc.length(if short { tag::SHORT_TEXT } else { tag::TEXT });
                enc.string(text);
            }
        }
        match enc.spill() {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => ControlFlow::Break(error),
        }
    });
    match result {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(error) => Err(error),
    }
}
