//! Values in: every layout Redis ever wrote, turned into what we keep today.
//!
//! The lower half reads layouts and knows no type of ours: it hands elements, one by one, to a builder. The upper
//! half builds.
//!
//! Mirrors: rdbLoadObject() of rdb.c.
//! Differs: the entries of every listpack are walked. An entry that cannot be walked is an error; where
//! `sanitize-dump-payload` asks for no check, it is left out with a remark. So no command meets a broken listpack;
//! Redis takes it, and crashes when it is read.

use super::connect;
pub use super::connect::Limits;
use super::decoder::Text;
use super::template::Templates;
use super::{Decoder, Encoder, Error, Reason, Type, module_name, vset};
use crate::collections::intset::Intset;
use crate::collections::legacy::{Ziplist, Zipmap};
use crate::collections::listpack::{Check, Listpack};
use crate::keyspace::{INLINE_MAX, NewValue};
use crate::types::Foreign;
use crate::types::foreign::Raw;

type Result<T> = std::result::Result<T, Error>;

/// How values are read.
#[derive(Debug, Clone, Copy)]
pub struct Reading {
    /// Check every entry of what is kept as it comes, not only its frame.
    pub deep: bool,
    /// How small values must be for their small encodings.
    pub limits: Limits,
    /// There are foreign types: a value of a type that is not known here is taken as it is, for them to make a value of.
    pub foreign: bool,
}

/// Reads a value. `templates` are those that hashes of the same file may refer to; `scratch` is where a short string
/// lives until it is stored.
#[doc(alias = "rdbLoadObject")]
pub fn read<'t>(
    dec: &mut Decoder<'_>,
    ty: Type,
    reading: &Reading,
    templates: &Templates,
    scratch: &'t mut Vec<u8>,
) -> Result<NewValue<'t>> {
    match ty {
        Type::String => Ok(match dec.text(scratch, INLINE_MAX)? {
            Text::Int(n) => NewValue::Int(n),
            Text::Bytes(bytes) => NewValue::Bytes(bytes),
            Text::Big(big) => NewValue::Big(big),
        }),
        Type::ModulePreGa => Err(dec.corrupt("Pre-release module format not supported")),
        Type::Module2 => {
            let id = dec.length()?;
            if id == vset::MODULE {
                let set = vset::read(dec, reading.limits.seed())?;
                return Ok(NewValue::Object(set.into()));
            }
            if reading.foreign {
                let bytes = raw_module_value(dec)?;
                let raw = Foreign::new(Raw { id, bytes });
                return Ok(NewValue::Object(raw.into()));
            }
            Err(dec.error(Reason::Module(module_name(id))))
        }
        _ => connect::read(dec, ty, reading, templates).map(NewValue::Object),
    }
}

/// The bytes of a module's value, up to and with its end mark, as they would be written again.
pub fn raw_module_value(dec: &mut Decoder<'_>) -> Result<Vec<u8>> {
    let mut enc = Encoder::to_memory(false);
    loop {
        let word = dec.length()?;
        enc.length(word);
        match word {
            0 => return Ok(enc.into_bytes()),
            1 | 2 => enc.length(dec.length()?),
            3 => enc.raw(&dec.array::<4>()?),
            4 => enc.raw(&dec.array::<8>()?),
            5 => enc.string(&dec.string()?),
            _ => return Err(dec.corrupt("Unknown module opcode")),
        }
    }
}

// ---------------------------------------------------------------------------------------------- layouts

/// The last deadline a field can have.
#[doc(alias = "EB_EXPIRE_TIME_MAX")]
const LATEST: i64 = 0x0000_FFFF_FFFF_FFFE;

/// A node of a list.
#[derive(Debug)]
pub enum Node {
    Packed(Listpack),
    /// One element, too long for a listpack.
    Plain(Vec<u8>),
}

/// The number of elements that follow; none is an error of its own.
pub fn count(dec: &mut Decoder<'_>) -> Result<u64> {
    match dec.length()? {
        0 => Err(dec.error(Reason::EmptyKey)),
        n => Ok(n),
    }
}

/// Lists and sets, element by element. `each` says whether the element may be.
pub fn elements(
    dec: &mut Decoder<'_>,
    duplicate: &'static str,
    mut each: impl FnMut(&[u8]) -> bool,
) -> Result<()> {
    let mut element = Vec::new();
    for _ in 0..count(dec)? {
        dec.string_into(&mut element)?;
        if !each(&element) {
            return Err(dec.corrupt(duplicate));
        }
    }
    Ok(())
}

/// Sorted sets, element by element.
pub fn scored(
    dec: &mut Decoder<'_>,
    ty: Type,
    mut each: impl FnMut(&[u8], f64) -> bool,
) -> Result<()> {
    let mut element = Vec::new();
    for _ in 0..count(dec)? {
        dec.string_into(&mut element)?;
        let score = match ty {
            Type::Zset => dec.text_double()?,
            _ => dec.double()?,
        };
        if score.is_nan() {
            return Err(dec.corrupt("Zset with NAN score detected"));
        }
        if !each(&element, score) {
            return Err(dec.corrupt("Duplicate zset fields detected"));
        }
    }
    Ok(())
}

/// Hashes, field by field: field, value, deadline.
pub fn fields(
    dec: &mut Decoder<'_>,
    ty: Type,
    mut each: impl FnMut(&[u8], &[u8], Option<i64>) -> bool,
) -> Result<()> {
    let earliest = match ty {
        Type::HashMetadata => dec.millis()?,
        _ => 0,
    };
    let (mut field, mut value) = (Vec::new(), Vec::new());
    for _ in 0..count(dec)? {
        let deadline = match ty {
            Type::Hash => None,
            _ => deadline(dec, ty, earliest)?,
        };
        dec.string_into(&mut field)?;
        dec.string_into(&mut value)?;
        if !each(&field, &value, deadline) {
            return Err(dec.corrupt("Duplicate hash fields detected"));
        }
    }
    Ok(())
}

/// 0 is none; else it is absolute in pre-releases, and later counts from the earliest, plus one.
fn deadline(dec: &mut Decoder<'_>, ty: Type, earliest: i64) -> Result<Option<i64>> {
    let ttl = dec.length()?;
    if ttl == 0 {
        return Ok(None);
    }
    let at = match ty {
        Type::HashMetadata => i64::try_from(ttl - 1)
            .ok()
            .and_then(|after| earliest.checked_add(after)),
        _ => i64::try_from(ttl).ok(),
    };
    at.filter(|at| (0..=LATEST).contains(at))
        .map(Some)
        .ok_or_else(|| dec.corrupt("invalid expireAt time"))
}

/// Lists, node by node.
pub fn quicklist(
    dec: &mut Decoder<'_>,
    ty: Type,
    deep: bool,
    mut each: impl FnMut(Node),
) -> Result<()> {
    const PLAIN: u64 = 1;
    const PACKED: u64 = 2;
    for _ in 0..count(dec)? {
        let container = match ty {
            Type::ListQuicklist => PACKED,
            _ => dec.length()?,
        };
        if container != PLAIN && container != PACKED {
            return Err(dec.corrupt("Quicklist integrity check failed."));
        }
        let bytes = dec.string()?;
        if bytes.is_empty() {
            return Err(dec.corrupt("Quicklist with an empty node"));
        }
        if container == PLAIN {
            each(Node::Plain(bytes));
            continue;
        }
        let packed = match ty {
            Type::ListQuicklist => from_ziplist(&bytes)
                .ok_or_else(|| dec.corrupt("Ziplist integrity check failed."))?,
            _ => listpack(dec, &bytes, deep, "Listpack integrity check failed.")?,
        };
        // Older servers left such nodes; a list of nothing else is an empty key.
        if !packed.is_empty() {
            each(Node::Packed(packed));
        }
    }
    Ok(())
}

/// A listpack from outside, every entry of which can be read.
pub fn listpack(
    dec: &mut Decoder<'_>,
    bytes: &[u8],
    deep: bool,
    what: &'static str,
) -> Result<Listpack> {
    let packed = Listpack::from_bytes(bytes, Check::Shallow).map_err(|_| dec.corrupt(what))?;
    if packed.is_sound() {
        return Ok(packed);
    }
    // Empty by its own account, whatever follows: no key is made of it.
    let claimed = packed.len();
    if claimed == 0 {
        return Ok(Listpack::new());
    }
    if deep {
        return Err(dec.corrupt(what));
    }
    dec.remark(what);
    Ok(Listpack::from_entries(packed.iter()))
}

/// A listpack of tuples of `width`, whose first elements are unlike each other (looked at only if `deep`). With `ttl`,
/// the third of each is a deadline, and they are in order (no deadline, 0, last).
#[doc(alias = "lpValidateIntegrityAndDups")]
pub fn tuples(
    dec: &mut Decoder<'_>,
    width: usize,
    deep: bool,
    what: &'static str,
) -> Result<Listpack> {
    let bytes = dec.string()?;
    let mut packed = listpack(dec, &bytes, deep, what)?;
    if deep && !are_unique_tuples(&packed, width) {
        return Err(dec.corrupt(what));
    }
    let (len, rest) = (packed.len(), packed.len() % width);
    if rest > 0 {
        dec.remark(what);
        packed = Listpack::from_entries(packed.iter().take(len - rest));
    }
    if packed.is_empty() {
        return Err(dec.error(Reason::EmptyKey));
    }
    Ok(packed)
}

/// See [`tuples`].
pub fn are_unique_tuples(packed: &Listpack, width: usize) -> bool {
    let mut seen = std::collections::HashSet::new();
    let (mut count, mut last_ttl) = (0, -1);
    for entry in packed.iter() {
        match count % width {
            0 if !seen.insert(entry.to_vec()) => return false,
            2 => {
                // Without a deadline: behind all that have one.
                match entry.as_int() {
                    Some(0) => last_ttl = i64::MAX,
                    Some(ttl) if (1..=LATEST).contains(&ttl) && ttl >= last_ttl => last_ttl = ttl,
                    _ => return false,
                }
            }
            _ => {}
        }
        count += 1;
    }
    count % width == 0
}

/// The same elements as a listpack. `None` if the bytes are not a ziplist.
pub fn from_ziplist(bytes: &[u8]) -> Option<Listpack> {
    let ziplist = Ziplist::new(bytes).ok()?;
    Some(Listpack::from_entries(ziplist.iter()))
}

/// Pairs of a ziplist, no first element twice.
#[doc(alias = "ziplistPairsConvertAndValidateIntegrity")]
pub fn ziplist_pairs(dec: &mut Decoder<'_>, what: &'static str) -> Result<Listpack> {
    let bytes = dec.string()?;
    let packed = from_ziplist(&bytes)
        .filter(|packed| are_unique_tuples(packed, 2))
        .ok_or_else(|| dec.corrupt(what))?;
    if packed.is_empty() {
        return Err(dec.error(Reason::EmptyKey));
    }
    Ok(packed)
}

/// A hash of Redis before 2.6.
pub fn zipmap(dec: &mut Decoder<'_>) -> Result<Listpack> {
    let bytes = dec.string()?;
    let map = Zipmap::new(&bytes).map_err(|_| dec.corrupt("Zipmap integrity check failed."))?;
    let packed = Listpack::from_entries(map.iter().flat_map(|(field, value)| [field, value]));
    if !are_unique_tuples(&packed, 2) {
        return Err(dec.corrupt("Hash zipmap with dup elements, or big length"));
    }
    if packed.is_empty() {
        return Err(dec.error(Reason::EmptyKey));
    }
    Ok(packed)
}

/// A set of integers.
pub fn intset(dec: &mut Decoder<'_>, deep: bool) -> Result<Intset> {
    let bytes = dec.string()?;
    let check = if deep { Check::Deep } else { Check::Shallow };
    Intset::from_bytes(&bytes, check).map_err(|_| dec.corrupt("Intset integrity check failed."))
}
