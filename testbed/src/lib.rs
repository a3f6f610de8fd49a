//! Bonesetter: starts the real servers that the demo and the tests run against
