//! Counted nodes beside plain vectors: they hold the same bytes, and clones do not change.
#![allow(unsafe_code)]

use super::*;

#[test]
fn pointers_are_one_word_even_when_optional() {
    assert_eq!(size_of::<Option<Shared<u64>>>(), 8);
    assert_eq!(size_of::<Option<Blob>>(), 8);
    assert_eq!(size_of::<Option<BigStr>>(), 8);
}

#[test]
fn size_classes_are_monotonic_fixed_points() {
    let mut last = 0;
    for n in 0..(1 << 18) {
        let g = good_size(n);
        assert!(g >= n && g >= last && good_size(g) == g, "{n} -> {g}");
        last = g;
    }
    for (n, class) in [
        (1, 8),
        (9, 16),
        (32, 32),
        (33, 48),
        (65, 80),
        (129, 160),
        (1016, 1024),
        (4097, 5120),
    ] {
        assert_eq!(good_size(n), class);
    }
}

#[test]
fn shared_copies_only_when_shared() {
    let mut a = Shared::new(vec![1, 2, 3]);
    let at = a.address();
    a.make_mut().push(4);
    assert_eq!(a.address(), at);
    let b = a.clone();
    assert!(a.get_mut().is_none());
    a.make_mut().push(5);
    assert!(!Shared::ptr_eq(&a, &b));
    assert_eq!((&*a, &*b), (&vec![1, 2, 3, 4, 5], &vec![1, 2, 3, 4]));
    assert_eq!(b.try_unwrap().ok(), Some(vec![1, 2, 3, 4]));
}

#[test]
fn raw_round_trip_keeps_the_count() {
    let a = Shared::new(String::from("x"));
    let raw = a.clone().into_raw();
    assert!(!a.is_unique());
    // SAFETY: the word just made from a Shared<String>.
    drop(unsafe { Shared::<String>::from_raw(raw) });
    assert!(a.is_unique());
}

#[test]
fn shared_is_freed_by_whichever_thread_is_last() {
    let a = Shared::new(Blob::from_slice(b"hello"));
    let threads: Vec<_> = (0..4)
        .map(|_| {
            let mine = a.clone();
            std::thread::spawn(move || mine.len())
        })
        .collect();
    drop(a);
    for t in threads {
        assert_eq!(t.join().unwrap(), 5);
    }
}

/// A blob and a BigStr race a Vec over random splices; clones taken on the way must not change.
#[test]
fn bytes_follow_a_vec() {
    for seed in 1..=if cfg!(miri) { 2u64 } else { 50 } {
        let mut x = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let mut next = |n: usize| {
            x ^= x << 13;
            x ^= x >> 7;
            x ^= x << 17;
            (x % n as u64) as usize
        };
        let (mut blob, mut big, mut model) = (Blob::new(), BigStr::with_capacity(0), Vec::new());
        let mut kept: Vec<(Blob, BigStr, Vec<u8>)> = Vec::new();
        for _ in 0..if cfg!(miri) { 60 } else { 500 } {
            match next(7) {
                0..3 => {
                    let bytes = vec![next(256) as u8; next(60)];
                    let at = next(model.len() + 1);
                    let gone = next(model.len() - at + 1).min(next(40));
                    blob.make_mut().splice(at, gone, &bytes).unwrap();
                    model.splice(at..at + gone, bytes);
                    big.make_mut().truncate(0);
                    big.make_mut().extend_from_slice(&model).unwrap();
                }
                3 => {
                    let len = next(300);
                    blob.make_mut().resize(len, 7).unwrap();
                    big.make_mut().resize(len, 7).unwrap();
                    model.resize(len, 7);
                }
                4 => {
                    let extra = vec![3; next(50)];
                    let mut w = big.make_mut();
                    w.reserve(50).unwrap();
                    assert_eq!(w.read_from(&mut &extra[..], 100).unwrap(), extra.len());
                    blob.make_mut().extend_from_slice(&extra).unwrap();
                    model.extend(extra);
                }
                5 => kept.push((blob.clone(), big.clone(), model.clone())),
                _ => {
                    if let Some(first) = model.first_mut() {
                        *first ^= 1;
                        blob.make_mut()[0] ^= 1;
                        big.make_mut()[0] ^= 1;
                    }
                }
            }
            assert_eq!(blob.as_slice(), &model[..], "seed {seed}");
            assert_eq!(big.as_slice(), &model[..], "seed {seed}");
        }
        for (blob, big, model) in kept {
            assert_eq!(blob.as_slice(), &model[..], "seed {seed}");
            assert_eq!(big.as_slice(), &model[..], "seed {seed}");
        }
    }
}

#[test]
fn impossible_sizes_are_errors() {
    assert_eq!(
        BigStr::try_with_capacity(usize::MAX - 3).err(),
        Some(TooLarge)
    );
    assert_eq!(
        BigStr::try_with_capacity(isize::MAX as usize).err(),
        Some(TooLarge)
    );
    let mut b = Blob::from_slice(b"abc");
    assert_eq!(b.make_mut().resize(u32::MAX as usize, 0), Err(TooLarge));
    assert_eq!(b.as_slice(), b"abc");
}
