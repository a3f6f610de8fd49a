//! Bonesetter: the test image: a container that fails on request
