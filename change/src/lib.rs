//! The vocabulary of difference between two versions of a Kubernetes object.
