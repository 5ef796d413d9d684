//! An RDB, item by item: the caller pulls the next item, stores it, and does other things in between.
//!
//! Mirrors: rdbLoadRioWithLoadingCtx() of rdb.c.
//! Differs: Redis's loader calls back to serve clients; this one returns to its caller.

use super::decoder::Place;
use super::read_value::{self, Reading};
use super::template::Templates;
use super::{Decoder, Error, NEWEST_READ, Reason, Type, metadata, module_name, opcode, vset};
use crate::keyspace::{DbId, Ms, NewValue};
use crate::types::meta::RawMeta;

/// One item of a file.
#[derive(Debug)]
pub enum Item<'t> {
    /// A remark about the file.
    Aux(Vec<u8>, Vec<u8>),
    /// The keys that follow belong to this database.
    Db(u64),
    /// So many keys of a database will come, not counting those that may be over by now. A hint; all of them together
    /// never more than the source has room for.
    Expect(DbId, usize),
    /// The code of a function library.
    Function(Vec<u8>),
    Key(Key<'t>),
    /// A key without a value: skipped.
    EmptyKey(Vec<u8>),
    /// A module's own data, skipped over (only when checking): the module's name.
    ModuleAux(String),
    /// A foreign type's own data, to be handed to it.
    ForeignAux {
        id: u64,
        when: i32,
        bytes: Vec<u8>,
    },
    /// The last one.
    End(Sum),
}

/// The result of comparing the checksum.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sum {
    Right,
    /// The file was written without.
    Absent,
    /// The checksum was not compared, or the format is too old to have one.
    Unread,
}

/// A key.
#[derive(Debug)]
pub struct Key<'t> {
    pub db: DbId,
    pub key: &'t [u8],
    pub ty: Type,
    pub value: NewValue<'t>,
    pub deadline: Option<Ms>,
    /// Seconds since it was last used.
    pub idle_s: Option<u64>,
    pub frequency: Option<u8>,
    /// The metadata that modules attached to the key.
    pub metas: Vec<RawMeta>,
    /// The fault of the value, if it is broken but taken as far as it can be read.
    pub remark: Option<&'static str>,
}

/// The activity during which an error turned up; the check tool prints it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Doing {
    Start,
    Type,
    Expire,
    Length,
    Aux,
    ModuleAux,
    Functions,
    Template,
    Key,
    Value,
    Checksum,
}

/// Reads an RDB.
#[derive(Debug)]
pub struct Loader<'a> {
    dec: Decoder<'a>,
    version: u32,
    db: DbId,
    key: Vec<u8>,
    scratch: Vec<u8>,
    reading: Reading,
    templates: Templates,
    doing: Doing,
    /// The type byte of the key being read.
    type_byte: Option<u8>,
    ended: bool,
    /// Keys that were announced.
    expected: u64,
    /// Where the item that is being read began.
    item: Place,
    /// Bytes there must be before it is worth another try to read it.
    wanted: usize,
    /// Modules' values are walked over instead of refused.
    pub skip_modules: bool,
}

impl<'a> Loader<'a> {
    /// Reads the beginning.
    pub fn new(dec: Decoder<'a>, reading: Reading) -> Result<Loader<'a>, Error> {
        let mut loader = Loader::fed(dec, reading);
        loader.read_magic()?;
        Ok(loader)
    }

    /// Reads nothing yet: the bytes are still to come.
    pub fn fed(dec: Decoder<'a>, reading: Reading) -> Loader<'a> {
        Loader {
            dec,
            version: 0,
            db: DbId(0),
            key: Vec::new(),
            scratch: Vec::new(),
            reading,
            templates: Templates::default(),
            doing: Doing::Start,
            type_byte: None,
            ended: false,
            expected: 0,
            item: Place::default(),
            wanted: 0,
            skip_modules: false,
        }
    }

    fn read_magic(&mut self) -> Result<(), Error> {
        let magic: [u8; 9] = self.dec.array()?;
        let [b'R', b'E', b'D', b'I', b'S', digits @ ..] = magic else {
            return Err(Error::new(0, Reason::Signature));
        };
        let version = crate::util::num::parse_i64(digits.trim_ascii_start())
            .or_else(|| std::str::from_utf8(&digits).ok()?.parse().ok())
            .unwrap_or(0);
        if !(1..=i64::from(NEWEST_READ)).contains(&version) {
            return Err(Error::new(9, Reason::Version(version)));
        }
        self.version = version as u32;
        Ok(())
    }

    /// Takes bytes, or learns that all came (`None`). Returns whether there is enough to ask for the next item.
    pub fn feed(&mut self, bytes: Option<&[u8]>) -> bool {
        match bytes {
            Some(bytes) => self.dec.feed(bytes),
            None => self.dec.feed_no_more(),
        }
        !self.dec.awaits_more() || self.dec.ahead().len() >= self.wanted
    }

    /// Goes back to the beginning of an item that is not all there yet ([`Reason::Starved`]). It is read again when
    /// twice as much is there, so that a large one, which may be tried many times, costs no more than twice its size.
    pub fn begin_item_again(&mut self) {
        self.dec.go_back(self.item);
        self.wanted = 2 * self.dec.ahead().len();
    }

    pub fn version(&self) -> u32 {
        self.version
    }

    /// Bytes read.
    pub fn position(&self) -> u64 {
        self.dec.position()
    }

    /// Gives back the source behind the end.
    pub fn into_decoder(self) -> Decoder<'a> {
        self.dec
    }

    /// The key of the last error: its name, if that was read, and the byte that stands for its type.
    pub fn last_key(&self) -> (Option<&[u8]>, Option<u8>) {
        let named = self.doing == Doing::Value;
        (named.then_some(&*self.key), self.type_byte)
    }

    /// The activity during which the last error turned up.
    pub fn doing(&self) -> Doing {
        self.doing
    }

    /// The name of the next key, if the bytes read ahead show it: a hint for the processor's cache.
    pub fn upcoming_key(&self) -> Option<&[u8]> {
        let mut ahead = self.dec.ahead();
        if *ahead.first()? == opcode::EXPIRETIME_MS {
            ahead = ahead.get(9..)?;
        }
        Type::from_byte(*ahead.first()?)?;
        // Lengths of up to 63 are a byte of their own.
        let len = usize::from(*ahead.get(1)?);
        (len < 64).then(|| ahead.get(2..2 + len))?
    }

    /// The next item. After [`Item::End`] and errors there is nothing more to ask for.
    #[allow(clippy::should_implement_trait)] // It lends.
    pub fn next(&mut self) -> Result<Item<'_>, Error> {
        if self.ended {
            return Ok(Item::End(Sum::Unread));
        }
        self.item = self.dec.place();
        if self.version == 0 {
            self.read_magic()?;
            self.item = self.dec.place();
        }
        let (mut deadline, mut idle_s, mut frequency) = (None, None, None);
        let mut metas = Vec::new();
        let dec = &mut self.dec;
        loop {
            self.doing = Doing::Type;
            self.type_byte = None;
            let byte = dec.byte()?;
            self.doing = Doing::of(byte);
            match byte {
                opcode::EXPIRETIME => deadline = Some(dec.seconds()?.saturating_mul(1000)),
                opcode::EXPIRETIME_MS => deadline = Some(dec.millis()?),
                opcode::FREQ => frequency = Some(dec.byte()?),
                opcode::IDLE => idle_s = Some(dec.length()?),
                opcode::RESIZEDB => {
                    let (keys, with_deadline) = (dec.length()?, dec.length()?);
                    let lasting = keys.saturating_sub(with_deadline);
                    // A key takes three bytes at least; a source of unknown length could claim anything.
                    let most = (dec.left().unwrap_or(0) / 3).saturating_sub(self.expected);
                    let expected = lasting.min(most);
                    self.expected += expected;
                    return Ok(Item::Expect(self.db, expected as usize));
                }
                opcode::SLOT_INFO => {
                    dec.length()?;
                    dec.length()?;
                    dec.length()?;
                }
                opcode::SELECTDB => {
                    let db = dec.length()?;
                    let Ok(number) = u32::try_from(db) else {
                        return Err(dec.error(Reason::TooManyDatabases));
                    };
                    self.db = DbId(number);
                    return Ok(Item::Db(db));
                }
                opcode::AUX => return Ok(Item::Aux(dec.string()?, dec.string()?)),
                opcode::FUNCTION2 => return Ok(Item::Function(dec.string()?)),
                opcode::FUNCTION_PRE_GA => {
                    return Err(dec.corrupt("Pre-release function format not supported."));
                }
                opcode::HASH_TEMPLATE => {
                    if deadline.is_some() || idle_s.is_some() || frequency.is_some() {
                        return Err(dec.corrupt("Hash template where a key was announced"));
                    }
                    self.templates.define(dec)?;
                    // This part of the item is done. If bytes are missing for the rest, reading begins again behind
                    // it.
                    self.item = dec.place();
                }
                opcode::KEY_META => metas = metadata::read(dec)?,
                opcode::MODULE_AUX => {
                    let id = dec.length()?;
                    let foreign = self.reading.foreign && !self.skip_modules;
                    if !self.skip_modules && !foreign {
                        return Err(dec.error(Reason::Module(module_name(id))));
                    }
                    // When, behind the opcode of a number.
                    const NUMBER: u64 = 2;
                    if dec.length()? != NUMBER {
                        return Err(dec.corrupt("bad when_opcode"));
                    }
                    let when = dec.length()?;
                    if foreign {
                        let bytes = read_value::raw_module_value(dec)?;
                        let when = when as i32;
                        return Ok(Item::ForeignAux { id, when, bytes });
                    }
                    skip_module_value(dec)?;
                    return Ok(Item::ModuleAux(module_name(id)));
                }
                opcode::EOF => {
                    let sum = self.verify()?;
                    self.expect_end()?;
                    self.ended = true;
                    return Ok(Item::End(sum));
                }
                byte => {
                    let ty = Type::from_byte(byte)
                        .ok_or_else(|| dec.corrupt("Unknown RDB encoding type"))?;
                    self.type_byte = Some(byte);
                    dec.string_into(&mut self.key)?;
                    self.doing = Doing::Value;
                    let value = if ty == Type::Module2 && self.skip_modules {
                        if dec.length()? == vset::MODULE {
                            let set = vset::read(dec, self.reading.limits.seed());
                            set.map(|set| NewValue::Object(set.into()))
                        } else {
                            skip_module_value(dec)?;
                            Ok(NewValue::Bytes(b"module-value"))
                        }
                    } else {
                        read_value::read(dec, ty, &self.reading, &self.templates, &mut self.scratch)
                    };
                    return match value {
                        Ok(value) => Ok(Item::Key(Key {
                            db: self.db,
                            key: &self.key,
                            ty,
                            value,
                            deadline,
                            idle_s,
                            frequency,
                            metas,
                            remark: dec.take_remark(),
                        })),
                        Err(error) if matches!(error.reason, Reason::EmptyKey) => {
                            Ok(Item::EmptyKey(self.key.clone()))
                        }
                        Err(error) => Err(error),
                    };
                }
            }
        }
    }

    /// Files have a checksum since version 5; 0 says that there is none.
    fn verify(&mut self) -> Result<Sum, Error> {
        if self.version < 5 {
            return Ok(Sum::Unread);
        }
        let computed = self.dec.checksum();
        let stored = u64::from_le_bytes(self.dec.array()?);
        match computed {
            _ if stored == 0 => Ok(Sum::Absent),
            None => Ok(Sum::Unread),
            Some(computed) if stored == computed => Ok(Sum::Right),
            Some(computed) => Err(self.dec.error(Reason::Checksum { stored, computed })),
        }
    }

    /// Checks that a fed RDB ends here: no byte may lie between its end and the end of the input.
    fn expect_end(&self) -> Result<(), Error> {
        let (dec, fed) = (&self.dec, self.dec.is_fed());
        if fed && !dec.ahead().is_empty() {
            return Err(dec.corrupt("Bytes behind the end of the RDB"));
        }
        if dec.awaits_more() {
            return Err(dec.error(Reason::Starved));
        }
        Ok(())
    }
}

impl Doing {
    /// The activity that begins with this byte.
    fn of(byte: u8) -> Doing {
        match byte {
            opcode::EXPIRETIME | opcode::EXPIRETIME_MS => Doing::Expire,
            opcode::FREQ | opcode::IDLE => Doing::Type,
            opcode::RESIZEDB | opcode::SLOT_INFO | opcode::SELECTDB => Doing::Length,
            opcode::AUX => Doing::Aux,
            opcode::FUNCTION2 | opcode::FUNCTION_PRE_GA => Doing::Functions,
            opcode::MODULE_AUX => Doing::ModuleAux,
            opcode::HASH_TEMPLATE => Doing::Template,
            opcode::EOF => Doing::Checksum,
            _ => Doing::Key,
        }
    }
}

/// Walks over a module's value: it is written so that this needs no module.
#[doc(alias = "rdbLoadCheckModuleValue")]
fn skip_module_value(dec: &mut Decoder<'_>) -> Result<(), Error> {
    loop {
        match dec.length()? {
            0 => return Ok(()),
            1 | 2 => {
                dec.length()?;
            }
            3 => dec.skip(4)?,
            4 => dec.skip(8)?,
            5 => {
                dec.string()?;
            }
            _ => return Err(dec.corrupt("Unknown module opcode")),
        }
    }
}
