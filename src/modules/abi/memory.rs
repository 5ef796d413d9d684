//! Memory of modules: the server's own allocator, so that `used_memory` and `maxmemory` count it.
//!
//! Invariant: each block has a header of 16 bytes before it that holds the number of bytes asked for; only this file
//! makes or frees such blocks.
//!
//! Mirrors: RM_Alloc() and its kin of module.c, zmalloc.c.

use std::alloc::{Layout, alloc, alloc_zeroed, dealloc, handle_alloc_error, realloc};
use std::ffi::{c_char, c_int, c_void};
use std::ptr;

use super::context;
use super::strings::c_bytes;
use crate::modules::Opaque;

const HEADER: usize = 16;

fn layout(size: usize) -> Option<Layout> {
    Layout::from_size_align(size.checked_add(HEADER)?, HEADER).ok()
}

/// A block of so many bytes; NULL when there is no memory.
pub fn block(size: usize, zeroed: bool) -> *mut c_void {
    let Some(layout) = layout(size) else {
        return ptr::null_mut();
    };
    // SAFETY: the layout has a size above zero; the header is within the block.
    unsafe {
        let start = match zeroed {
            true => alloc_zeroed(layout),
            false => alloc(layout),
        };
        if start.is_null() {
            return ptr::null_mut();
        }
        start.cast::<usize>().write(size);
        start.add(HEADER).cast()
    }
}

/// The size that a block was asked for with.
unsafe fn size_of_block(data: *mut c_void) -> usize {
    // SAFETY: a block has its header before it.
    unsafe { data.cast::<u8>().sub(HEADER).cast::<usize>().read() }
}

fn or_end(data: *mut c_void, size: usize) -> *mut c_void {
    match data.is_null() {
        true => handle_alloc_error(layout(size).unwrap_or(Layout::new::<u64>())),
        false => data,
    }
}

pub extern "C" fn module_alloc(size: usize) -> *mut c_void {
    or_end(block(size, false), size)
}

pub extern "C" fn try_alloc(size: usize) -> *mut c_void {
    block(size, false)
}

pub extern "C" fn calloc(count: usize, size: usize) -> *mut c_void {
    let bytes = count.saturating_mul(size);
    or_end(block(bytes, true), bytes)
}

pub extern "C" fn try_calloc(count: usize, size: usize) -> *mut c_void {
    block(count.saturating_mul(size), true)
}

pub unsafe extern "C" fn try_realloc(data: *mut c_void, size: usize) -> *mut c_void {
    if data.is_null() {
        return block(size, false);
    }
    if size == 0 {
        unsafe { free(data) };
        return ptr::null_mut();
    }
    // SAFETY: the block was made with this layout.
    unsafe {
        let (Some(old), Some(new)) = (layout(size_of_block(data)), layout(size)) else {
            return ptr::null_mut();
        };
        let start = realloc(data.cast::<u8>().sub(HEADER), old, new.size());
        if start.is_null() {
            return ptr::null_mut();
        }
        start.cast::<usize>().write(size);
        start.add(HEADER).cast()
    }
}

pub unsafe extern "C" fn module_realloc(data: *mut c_void, size: usize) -> *mut c_void {
    let moved = unsafe { try_realloc(data, size) };
    match size {
        0 => moved,
        _ => or_end(moved, size),
    }
}

pub unsafe extern "C" fn free(data: *mut c_void) {
    if data.is_null() {
        return;
    }
    // SAFETY: the block was made with this layout.
    unsafe {
        if let Some(layout) = layout(size_of_block(data)) {
            dealloc(data.cast::<u8>().sub(HEADER), layout);
        }
    }
}

/// Bytes copied into a block of their own.
pub fn copied(bytes: &[u8], zero: bool) -> *mut c_char {
    let size = bytes.len() + usize::from(zero);
    let data = or_end(block(size, false), size);
    // SAFETY: the block has room for the bytes and the zero.
    unsafe {
        ptr::copy_nonoverlapping(bytes.as_ptr(), data.cast(), bytes.len());
        if zero {
            data.cast::<u8>().add(bytes.len()).write(0);
        }
    }
    data.cast()
}

pub unsafe extern "C" fn strdup(text: *const c_char) -> *mut c_char {
    copied(unsafe { c_bytes(text) }, true)
}

pub unsafe extern "C" fn malloc_size(data: *mut c_void) -> usize {
    match data.is_null() {
        true => 0,
        false => unsafe { size_of_block(data) + HEADER },
    }
}

pub unsafe extern "C" fn usable_size(data: *mut c_void) -> usize {
    match data.is_null() {
        true => 0,
        false => unsafe { size_of_block(data) },
    }
}

pub unsafe extern "C" fn pool_alloc(ctx: Opaque, size: usize) -> *mut c_void {
    match unsafe { context::of(ctx) } {
        Some(context) => {
            let mut block = vec![0u64; size.div_ceil(8).max(1)].into_boxed_slice();
            let data = block.as_mut_ptr();
            context.pool.push(block);
            data.cast()
        }
        None => ptr::null_mut(),
    }
}

pub unsafe extern "C" fn auto_memory(ctx: Opaque) {
    if let Some(context) = unsafe { context::of(ctx) } {
        context.auto.get_or_insert_default();
    }
}

pub extern "C" fn used_memory_ratio() -> f32 {
    let ratio = context::with(|state| {
        let limit = state.config.maxmemory;
        match limit {
            0 => 0.0,
            _ => {
                let counted = crate::sys::alloc::used()
                    .saturating_sub(crate::keyspace::act::evict::not_counted_for_evict(state));
                counted as f32 / limit as f32
            }
        }
    });
    ratio.unwrap_or(0.0)
}

/// An array of numbers that the module frees.
pub fn numbers(values: impl ExactSizeIterator<Item = c_int>) -> *mut c_int {
    let bytes = (values.len() * size_of::<c_int>()).max(1);
    let data: *mut c_int = or_end(block(bytes, true), bytes).cast();
    for (at, value) in values.enumerate() {
        // SAFETY: the block has room for all values.
        unsafe { data.add(at).write(value) };
    }
    data
}
