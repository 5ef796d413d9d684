//! An RDB, item by item: whoever loads pulls the next one, stores it, and does other things in between.
//!
//! Mirrors: rdbLoadRioWithLoadingCtx() of rdb.c. There the loader calls back to serve clients; here it returns.

use super::read_value::{self, Reading};
use super::{Decoder, Error, Reason, Type, VERSION, module_name, opcode};
use crate::keyspace::{DbId, Ms, NewValue};

/// What a file says next.
#[derive(Debug)]
pub enum Item<'t> {
    /// A remark about the file.
    Aux(Vec<u8>, Vec<u8>),
    /// The keys that follow belong to this database.
    Db(u64),
    /// The code of a function library.
    Function(Vec<u8>),
    Key(Key<'t>),
    /// A key without a value: skipped.
    EmptyKey(Vec<u8>),
    /// A module's own data, skipped over (only when checking).
    ModuleAux,
    /// The last one.
    End,
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
    /// Where the key being read began, for who asks about an error.
    pub key_at: u64,
    ended: bool,
    /// Modules' values are walked over instead of refused.
    pub skip_modules: bool,
}

impl<'a> Loader<'a> {
    /// Reads the beginning.
    pub fn new(mut dec: Decoder<'a>, reading: Reading) -> Result<Loader<'a>, Error> {
        let magic: [u8; 9] = dec.array()?;
        let [b'R', b'E', b'D', b'I', b'S', digits @ ..] = magic else {
            return Err(Error::new(0, Reason::Signature));
        };
        let version = crate::util::num::parse_i64(digits.trim_ascii_start())
            .or_else(|| std::str::from_utf8(&digits).ok()?.parse().ok())
            .unwrap_or(0);
        if !(1..=i64::from(VERSION)).contains(&version) {
            return Err(Error::new(9, Reason::Version(version)));
        }
        Ok(Loader {
            dec,
            version: version as u32,
            db: DbId(0),
            key: Vec::new(),
            scratch: Vec::new(),
            reading,
            key_at: 0,
            ended: false,
            skip_modules: false,
        })
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

    /// The key the last error happened in, as far as it was read.
    pub fn last_key(&self) -> &[u8] {
        &self.key
    }

    /// The next item. After [`Item::End`] and errors there is nothing more to ask for.
    #[allow(clippy::should_implement_trait)] // It lends.
    pub fn next(&mut self) -> Result<Item<'_>, Error> {
        if self.ended {
            return Ok(Item::End);
        }
        let (mut deadline, mut idle_s, mut frequency) = (None, None, None);
        let dec = &mut self.dec;
        loop {
            self.key_at = dec.position();
            self.key.clear();
            match dec.byte()? {
                opcode::EXPIRETIME => deadline = Some(dec.seconds()?.saturating_mul(1000)),
                opcode::EXPIRETIME_MS => deadline = Some(dec.millis()?),
                opcode::FREQ => frequency = Some(dec.byte()?),
                opcode::IDLE => idle_s = Some(dec.length()?),
                opcode::RESIZEDB => {
                    // Hints for tables that must be sized beforehand.
                    dec.length()?;
                    dec.length()?;
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
                opcode::MODULE_AUX => {
                    let id = dec.length()?;
                    if !self.skip_modules {
                        return Err(dec.error(Reason::Module(module_name(id))));
                    }
                    // When, behind an opcode of its own.
                    dec.length()?;
                    dec.length()?;
                    skip_module_value(dec)?;
                    return Ok(Item::ModuleAux);
                }
                opcode::EOF => {
                    self.verify()?;
                    self.ended = true;
                    return Ok(Item::End);
                }
                byte => {
                    let ty = Type::from_byte(byte)
                        .ok_or_else(|| dec.corrupt("Unknown RDB encoding type"))?;
                    dec.string_into(&mut self.key)?;
                    let value = if ty == Type::Module2 && self.skip_modules {
                        dec.length()?;
                        skip_module_value(dec)?;
                        Ok(NewValue::Bytes(b"module-value"))
                    } else {
                        read_value::read(dec, ty, &self.reading, &mut self.scratch)
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
    fn verify(&mut self) -> Result<(), Error> {
        if self.version < 5 {
            return Ok(());
        }
        let computed = self.dec.checksum();
        let stored = u64::from_le_bytes(self.dec.array()?);
        match computed {
            Some(computed) if stored != 0 && stored != computed => {
                Err(self.dec.error(Reason::Checksum { stored, computed }))
            }
            _ => Ok(()),
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
