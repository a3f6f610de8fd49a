//! Bonesetter: decides on, applies, verifies and takes back remedies
