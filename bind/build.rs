//! Options of the linker for the native module.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    // Folds functions with the same code, which is 2 % of the module. Only lld can, which rustc uses by default on this
    // target alone (Rust 1.90).
    let variable = |name: &str| std::env::var(name).unwrap_or_default();
    if variable("TARGET") == "x86_64-unknown-linux-gnu" && variable("PROFILE") == "release" {
        println!("cargo:rustc-cdylib-link-arg=-Wl,--icf=all");
    }
}
