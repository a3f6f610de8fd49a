//! Bonesetter: tells people about incidents
