//! The process's allocator: mimalloc, asked for aligned memory only where that is more than
//! every block has. Its aligned calls look for room to align in, and take a slower path to
//! find it; nearly nothing that a proxy allocates needs them.
//!
//! The `unsafe` here is that of a foreign allocator, with its proof at each call.
#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout};

use libmimalloc_sys::{
    mi_collect, mi_free, mi_malloc, mi_malloc_aligned, mi_realloc, mi_realloc_aligned, mi_zalloc,
    mi_zalloc_aligned,
};

/// Gives free memory of this thread back to the system, that among it which other threads
/// have freed. Walks the whole heap: for rare moments, such as the end of a rush.
pub fn collect() {
    // SAFETY: it takes no pointer and has no condition; any thread may call it at any time.
    unsafe { mi_collect(true) }
}

/// From now on this process gets no huge pages, which mimalloc asks for: what is left free
/// within them cannot be given back, and a third of what thousands of idle tunnels occupied
/// was that. Programs that it starts inherit this.
pub fn keep_pages_small() {
    if let Err(error) = rustix::thread::disable_transparent_huge_pages(true) {
        tracing::debug!(%error, "huge pages cannot be declined");
    }
}

/// What every block is aligned to, in bytes: a machine word, the unit of mimalloc's sizes.
const WORD: usize = size_of::<usize>();

/// mimalloc, for `#[global_allocator]`.
#[derive(Debug)]
pub struct Allocator;

// SAFETY: mimalloc is an allocator in the sense of the trait: it never unwinds, hands out
// blocks of at least the size asked for that are in no other hands, returns null when it cannot,
// and keeps the contents in `realloc`. All blocks are multiples of a word at multiples of a
// word, so they suit any `align` up to that; for a larger one its aligned calls are made,
// with a power of two as `Layout` promises. `mi_free` takes blocks of either kind.
unsafe impl GlobalAlloc for Allocator {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as above; these calls have no conditions of their own.
        unsafe {
            match layout.align() {
                ..=WORD => mi_malloc(layout.size()).cast(),
                align => mi_malloc_aligned(layout.size(), align).cast(),
            }
        }
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as above.
        unsafe {
            match layout.align() {
                ..=WORD => mi_zalloc(layout.size()).cast(),
                align => mi_zalloc_aligned(layout.size(), align).cast(),
            }
        }
    }

    #[inline]
    unsafe fn dealloc(&self, block: *mut u8, _layout: Layout) {
        // SAFETY: the caller's promise: `block` came from here and is given back once.
        unsafe { mi_free(block.cast()) }
    }

    #[inline]
    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: as for `dealloc`; the alignment is the one that `block` was asked for with.
        unsafe {
            match layout.align() {
                ..=WORD => mi_realloc(block.cast(), size).cast(),
                align => mi_realloc_aligned(block.cast(), size, align).cast(),
            }
        }
    }
}
