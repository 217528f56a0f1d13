//! Certificates that issue and rotate themselves.
