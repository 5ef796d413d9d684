//! provisional
pub mod events;
use crate::collections::shared::BigStr;
use crate::resp::Error;
use crate::util::num::IntBuf;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
pub type Ms = i64;
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DbId(pub u32);
#[derive(Debug, Default)]
pub struct Env {
    now: Cell<i64>,
    q: RefCell<Vec<(DbId, Box<[u8]>)>>,
}
impl Env {
    pub fn set_now(&self, n: i64) {
        self.now.set(n)
    }
    pub fn has_expired(&self) -> bool {
        !self.q.borrow().is_empty()
    }
    pub fn take_expired(&self) -> Vec<(DbId, Box<[u8]>)> {
        self.q.take()
    }
}
#[derive(Debug)]
pub struct Keyspace {
    dbs: Vec<Db>,
    env: Env,
}
#[derive(Debug, Default)]
pub struct Db {
    m: HashMap<Vec<u8>, S>,
}
#[derive(Debug)]
pub enum S {
    I(i64),
    B(Vec<u8>),
    G(BigStr),
}
#[derive(Debug)]
pub enum NewValue<'a> {
    Int(i64),
    Bytes(&'a [u8]),
    Big(BigStr),
}
#[derive(Clone, Copy, Debug)]
pub enum StrRef<'a> {
    Int(i64),
    B(&'a [u8]),
    G(&'a BigStr),
}
impl<'a> StrRef<'a> {
    pub fn big(&self) -> Option<&'a BigStr> {
        if let StrRef::G(b) = self {
            Some(b)
        } else {
            None
        }
    }
    pub fn as_bytes<'b>(&self, s: &'b mut IntBuf) -> &'b [u8]
    where
        'a: 'b,
    {
        match self {
            StrRef::Int(i) => s.format(*i),
            StrRef::B(b) => b,
            StrRef::G(b) => b.as_slice(),
        }
    }
}
impl Keyspace {
    pub fn new(n: usize, _c: bool, _s: u64) -> Self {
        Keyspace {
            dbs: (0..n).map(|_| Db::default()).collect(),
            env: Env::default(),
        }
    }
    pub fn env(&self) -> &Env {
        &self.env
    }
}
impl std::ops::Index<DbId> for Keyspace {
    type Output = Db;
    fn index(&self, i: DbId) -> &Db {
        &self.dbs[i.0 as usize]
    }
}
impl std::ops::IndexMut<DbId> for Keyspace {
    fn index_mut(&mut self, i: DbId) -> &mut Db {
        &mut self.dbs[i.0 as usize]
    }
}
impl Db {
    pub fn hash(&self, _k: &[u8]) -> u64 {
        0
    }
    pub fn prefetch(&self, _h: &[u64]) {}
    pub fn get_string(&self, k: &[u8]) -> Result<Option<StrRef<'_>>, Error> {
        Ok(self.m.get(k).map(|s| match s {
            S::I(i) => StrRef::Int(*i),
            S::B(b) => StrRef::B(b),
            S::G(g) => StrRef::G(g),
        }))
    }
    pub fn set(&mut self, k: &[u8], v: NewValue<'_>, _d: Option<Ms>) {
        self.m.insert(
            k.to_vec(),
            match v {
                NewValue::Int(i) => S::I(i),
                NewValue::Bytes(b) => {
                    crate::util::num::parse_i64(b).map_or_else(|| S::B(b.to_vec()), S::I)
                }
                NewValue::Big(g) => S::G(g),
            },
        );
    }
    pub fn string_mut(&mut self, k: &[u8]) -> Result<Option<M<'_>>, Error> {
        Ok(self.m.get_mut(k).map(M))
    }
}
#[derive(Debug)]
pub struct M<'a>(&'a mut S);
impl M<'_> {
    pub fn as_integer(&self) -> Option<i64> {
        if let S::I(i) = &*self.0 {
            Some(*i)
        } else {
            None
        }
    }
    pub fn set_integer(&mut self, n: i64) {
        *self.0 = S::I(n)
    }
}
