// Package fuzzy holds the codes that turn noisy biometric features into stable
// bits. Sources in ppd/face and ppd/fingerprint combine them; nothing here
// knows a sensor, a helper format or a key.
//
//   - Code: extended primitive BCH codes of length 128, generated from their
//     designed distance (Bose and Ray-Chaudhuri 1960, Hocquenghem 1959; Lin and
//     Costello, Error Control Coding, 2nd ed., ch. 6)
//   - Code.DecodeSoft: ordered-statistics decoding on the most reliable basis
//     (Fossorier and Lin, IEEE Trans. Inf. Theory 41(5), 1995)
//   - Rotation: a keyed near-uniform rotation from three rounds of random signs
//     and Walsh-Hadamard transforms (Ailon and Chazelle 2009; Andoni et al. 2015)
//   - Vault: the improved fuzzy vault over GF(2¹⁶) (Dodis, Ostrovsky, Reyzin and
//     Smith, SIAM J. Comput. 38(1), 2008, section 5.2), after Juels and Sudan's
//     (2002), recognised by two zero coefficients instead of a stored hash
//   - Decoder: its randomised search, with interpolation in barycentric form
//     (Berrut and Trefethen, SIAM Review 46(3), 2004)
//
// Everything is deterministic, given its random generator, and the same on
// every platform: decoding works on integers, and floating point keeps a fixed order without fused operations.
package fuzzy
