//! See the function of this name in the library.
#![cfg_attr(fuzzing, no_main)]
corewire_fuzz::target!(native);
