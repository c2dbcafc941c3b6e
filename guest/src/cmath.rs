//! The C functions that a script's arithmetic calls, by `libm` in pure Rust: glibc's differ between processors, and a
//! result must not. The linker takes these for the whole program, because they are its own. It defines symbols, and
//! does nothing else.

#![expect(unsafe_code, reason = "a symbol that C code links to by its name has to be exported under it")]

macro_rules! unary {
    ($($name:ident)*) => {
        $(
            #[unsafe(no_mangle)]
            pub(crate) extern "C" fn $name(x: f64) -> f64 {
                libm::$name(x)
            }
        )*
    };
}

macro_rules! binary {
    ($($name:ident)*) => {
        $(
            #[unsafe(no_mangle)]
            pub(crate) extern "C" fn $name(x: f64, y: f64) -> f64 {
                libm::$name(x, y)
            }
        )*
    };
}

unary! {
    acos asin atan cbrt cos cosh erf exp exp2 expm1 log log10 log1p log2 sin sinh tan tanh
}

binary! {
    atan2 fmod hypot pow
}
