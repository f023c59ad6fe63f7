//! What an RSA public key must be: long enough, odd, with a usable exponent, without small factors, and not made by the
//! faulty generator of CVE-2017-15361 (ROCA), whose moduli can be factored.

const MODULUS_BITS_MIN: usize = 2048;
/// What verifies signatures takes no longer ones, and would say so only once a token comes.
const MODULUS_BITS_MAX: usize = 8192;
const EXPONENT_BITS_MAX: usize = 33;
/// The primes of the published test for ROCA. A weak modulus is a power of 65537 by each of them; another one is with a
/// probability of 2^-27.
const ROCA_PRIMES: [u32; 17] =
    [11, 13, 17, 19, 37, 53, 61, 71, 73, 79, 97, 103, 107, 109, 127, 151, 157];
/// Trial division ends here.
const SMALL_FACTOR_MAX: u32 = 1 << 12;

/// Checks an `RSAPublicKey` (RFC 8017, appendix A.1.1) in DER.
pub(super) fn check_rsa(der: &[u8]) -> Result<(), String> {
    let (modulus, exponent) = read(der).ok_or("is not an RSA public key in PEM")?;
    check_numbers(modulus, exponent)
}

/// Checks a modulus and an exponent that have no leading zeros.
pub(super) fn check_numbers(modulus: &[u8], exponent: &[u8]) -> Result<(), String> {
    let size = bits(modulus);
    if size < MODULUS_BITS_MIN {
        return Err(format!(
            "is an RSA key of {size} bits; less than {MODULUS_BITS_MIN} bits are not accepted"
        ));
    }
    if size > MODULUS_BITS_MAX {
        return Err(format!("is an RSA key of {size} bits; {MODULUS_BITS_MAX} are the most"));
    }
    let is_odd = exponent.last().is_some_and(|last| last % 2 == 1);
    if !is_odd || exponent == [1] || bits(exponent) > EXPONENT_BITS_MAX {
        return Err("is an RSA key with an exponent that is even, 1, or too large".into());
    }
    if (2..SMALL_FACTOR_MAX).any(|divisor| remainder(modulus, divisor) == 0) {
        return Err("is a weak RSA key: its modulus has a small factor".into());
    }
    if ROCA_PRIMES.iter().all(|prime| is_power(remainder(modulus, *prime), *prime)) {
        return Err(
            "is a weak RSA key: it was made by the generator of CVE-2017-15361 (ROCA)".into()
        );
    }
    Ok(())
}

/// Modulus and exponent, without leading zeros.
fn read(der: &[u8]) -> Option<(&[u8], &[u8])> {
    let (fields, _) = element(der, 0x30)?;
    let (modulus, rest) = element(fields, 0x02)?;
    let (exponent, _) = element(rest, 0x02)?;
    Some((unsigned(modulus), unsigned(exponent)))
}

fn unsigned(integer: &[u8]) -> &[u8] {
    let zeros = integer.iter().take_while(|byte| **byte == 0).count();
    integer.get(zeros..).unwrap_or_default()
}

/// The contents of one element of a tag, and what follows it.
fn element(der: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (&[found, first], rest) = der.split_first_chunk::<2>()?;
    let (length, rest) = match first {
        ..=0x7f => (usize::from(first), rest),
        0x81..=0x84 => {
            let (length, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
            (length.iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte)), rest)
        }
        _ => return None,
    };
    if found == tag { rest.split_at_checked(length) } else { None }
}

fn bits(number: &[u8]) -> usize {
    number.first().map_or(0, |first| number.len() * 8 - first.leading_zeros() as usize)
}

fn remainder(number: &[u8], divisor: u32) -> u32 {
    number.iter().fold(0, |rest, byte| (rest << 8 | u32::from(*byte)) % divisor)
}

fn is_power(residue: u32, prime: u32) -> bool {
    let powers = std::iter::successors(Some(1), |power| Some(power * 65_537 % prime));
    powers.take(prime as usize).any(|power| power == residue)
}
