//! The judgement: pure, synchronous, without I/O or clock.
