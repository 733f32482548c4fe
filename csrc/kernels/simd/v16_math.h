/* v16_math.h: elementary functions of sixteen floats, the same bits on every instruction set.
 *
 * Only v16 operations, in a fixed order, fused where the code says fma. Infinities, NaN, signed zeros, denormal arguments and denormal
 * results are handled as the C library's functions of the same name do. v16.h comes first.
 *
 * Coefficients: Lawson-weighted least squares of the relative error on Chebyshev nodes in 40 digits (mpmath), rounded to float one after
 * the other from the lowest, the others fitted again after each. "poly" is the relative error of the polynomial on its range.
 * Bounds: in ULP of the result. Found against the C library in double on every 61st or 257th of the 2^32 floats (exp 0.87, log 0.87,
 * tanh 1.44, sigmoid 2.00, silu 2.00, erf 1.02, expm1 1.42, softplus 1.76, sin and cos 1.48, tan 3.19, atan 1.78, asin 2.29, acos 1.26,
 * log1p 2.36, sinh 3.55, cosh 2.80, asinh 2.69, acosh 2.83, atanh 2.91); tests/test_math.py samples them again. */
#pragma once

/* p(x) by Horner with fma, c[0] the lowest coefficient. */
#define V16_POLY(x, ...) v16_poly((x), (const float[]){__VA_ARGS__}, (int)(sizeof((const float[]){__VA_ARGS__}) / sizeof(float)))
V16_FN v16 v16_poly(v16 x, const float *c, int n) {
    v16 y = v16_set1(c[n - 1]);
    _Pragma("GCC unroll 16") for (int i = n - 2; i >= 0; i--) y = v16_fma(y, x, v16_set1(c[i]));
    return y;
}

/* A whole number n, |n| < 2^22, travels as the float 1.5 2^23 + n: adding 1.5 2^23 rounds to it, and it stands in the low bits. */
V16_FN v16 v16_shift(void) { return v16_set1(0x1.8p23f); }
V16_FN w16 w16_from_shifted(v16 t) { return w16_sub(w16_bits(t), w16_bits(v16_shift())); }

/* 2^n of whole n in -126..127, and of such an n as a shifted t, whose other bits leave at the top. */
V16_FN v16 v16_pow2(w16 n) { return v16_bits(w16_shl(w16_add(n, w16_set1(127)), 23)); }
V16_FN v16 v16_pow2_shifted(v16 t) { return v16_bits(w16_add(w16_shl(w16_bits(t), 23), w16_set1(0x3f800000))); }

/* a 2^n for |a| in 1/2..2 and n in -200..200 as a shifted t; a denormal result is rounded once, as the first of two steps is exact. */
V16_FN v16 v16_scale(v16 a, v16 t) {
#if defined(ASYMO_VEC_AVX512)
    return _mm512_scalef_ps(a, v16_sub(t, v16_shift()));
#else
    const w16 n = w16_from_shifted(t), half = w16_shr(n, 1);
    return v16_mul(v16_mul(a, v16_pow2(half)), v16_pow2(w16_sub(n, half)));
#endif
}

/* x = n ln 2 + *r with |*r| <= ln 2 / 2; n comes shifted. |x| < 2^20. Not a number: any n, *r NaN. */
V16_FN v16 v16_exp_reduce(v16 x, v16 *r) {
    const v16 t = v16_fma(x, v16_set1(0x1.715476p0f), v16_shift()), n = v16_sub(t, v16_shift());
    *r = v16_fma(n, v16_set1(0x1.05c610p-29f), v16_fma(n, v16_set1(-0x1.62e430p-1f), x));
    return t;
}

/* q of exp(r) = 1 + r + r^2 q(r), poly 2^-28 */
V16_FN v16 v16_exp_q(v16 r) { return V16_POLY(r, 0x1.fffffcp-2f, 0x1.555490p-3f, 0x1.5558a4p-5f, 0x1.123ac8p-7f, 0x1.6a5bbcp-10f); }

/* exp(r) as 1 + r (1 + r q): less is lost than with 1 + (r + r^2 q). */
V16_FN v16 v16_exp_near(v16 r) {
    const v16 one = v16_set1(1.0f);
    return v16_fma(v16_fma(v16_exp_q(r), r, one), r, one);
}

/* exp(r) - 1, so too */
V16_FN v16 v16_expm1_near(v16 r) { return v16_fma(v16_mul(r, r), v16_exp_q(r), r); }

/* exp(x + x_lo), 1 ULP, |x_lo| far below |x| */
V16_FN v16 v16_exp_sum(v16 x, v16 x_lo) {
    v16 r;
    const v16 n = v16_exp_reduce(v16_min(v16_set1(89.0f), v16_max(v16_set1(-104.0f), x)), &r);
    return v16_scale(v16_exp_near(v16_add(r, x_lo)), n);
}

/* exp(x), 1 ULP */
V16_FN v16 v16_exp(v16 x) {
    v16 r;
    const v16 n = v16_exp_reduce(v16_min(v16_set1(89.0f), v16_max(v16_set1(-104.0f), x)), &r);
    return v16_scale(v16_exp_near(r), n);
}

/* The same for x <= 0 */
V16_FN v16 v16_exp_falling(v16 x) {
    v16 r;
    const v16 n = v16_exp_reduce(v16_max(v16_set1(-104.0f), x), &r);
    return v16_scale(v16_exp_near(r), n);
}

/* The same for x in -80..80 */
V16_FN v16 v16_exp_small(v16 x) {
    v16 r;
    const v16 n = v16_exp_reduce(x, &r);
#if defined(ASYMO_VEC_AVX512)
    return v16_scale(v16_exp_near(r), n);
#else
    return v16_mul(v16_exp_near(r), v16_pow2_shifted(n));
#endif
}

/* exp(x) - 1, 2 ULP; below -18 it is -1. 2^n p + (2^n - 1) at half size, because 2^128 is no float. */
V16_FN v16 v16_expm1(v16 x) {
    v16 r;
    const w16 n = w16_from_shifted(v16_exp_reduce(v16_min(v16_set1(89.0f), v16_max(v16_set1(-18.0f), x)), &r));
    const v16 p = v16_expm1_near(r), s = v16_pow2(w16_sub(n, w16_set1(1)));
    const v16 half = v16_fma(p, s, v16_sub(s, v16_set1(0.5f)));
    return v16_copysign(v16_add(half, half), x);
}

/* log(2^e (1 + f)) for f in sqrt(1/2) - 1 .. sqrt(2) - 1: f - f^2 / 2 + f^3 q(f), poly 2^-27; the sum e ln 2 + f keeps its rest. */
V16_FN v16 v16_log_join(v16 f, v16 e) {
    const v16 q = V16_POLY(f, -0.5f, 0x1.555554p-2f, -0x1.000228p-2f, 0x1.99a004p-3f, -0x1.5471f6p-3f, 0x1.22dbb6p-3f, -0x1.0d8a82p-3f,
                           0x1.054e1cp-3f, -0x1.3871fap-4f);
    const v16 high = v16_mul(e, v16_set1(0x1.62e400p-1f)), sum = v16_add(high, f), rest = v16_add(v16_sub(high, sum), f);
    const v16 low = v16_fma(e, v16_set1(0x1.7f7d1cp-20f), v16_fma(v16_mul(f, f), q, rest));
    return v16_add(sum, low);
}

/* x = 2^e m with m in sqrt(1/2) .. sqrt(2), for positive finite x, denormals too. 0x3f3504f3 is sqrt(1/2). */
V16_FN v16 v16_split(v16 x, v16 *e) {
    const m16 tiny = v16_lt(x, v16_set1(0x1p-126f));
    const w16 bits = w16_bits(v16_select(tiny, v16_mul(x, v16_set1(0x1p23f)), x));
    const w16 n = w16_shr(w16_sub(bits, w16_set1(0x3f3504f3)), 23);
    *e = v16_sub(v16_from_w16(n), v16_select(tiny, v16_set1(23.0f), v16_zero()));
    return v16_bits(w16_sub(bits, w16_shl(n, 23)));
}

/* log(x), 1 ULP */
V16_FN v16 v16_log(v16 x) {
    const v16 inf = v16_set1(__builtin_inff());
    v16 e;
    const v16 m = v16_split(x, &e);
    v16 y = v16_log_join(v16_sub(m, v16_set1(1.0f)), e);
    y = v16_select(v16_lt(x, inf), y, x); /* inf and NaN */
    y = v16_select(v16_eq(x, v16_zero()), v16_neg(inf), y);
    return v16_select(v16_lt(x, v16_zero()), v16_set1(__builtin_nanf("")), y);
}

/* log(1 + x) for 0 <= x <= 1, 1 ULP. Above sqrt(2) - 1 it is ln 2 + log((1 + x) / 2). */
V16_FN v16 v16_log1p_unit(v16 x) {
    const v16 one = v16_set1(1.0f);
    const m16 upper = v16_lt(v16_set1(0x1.a8279ap-2f), x);
    const v16 f = v16_select(upper, v16_mul(v16_sub(x, one), v16_set1(0.5f)), x);
    return v16_log_join(f, v16_select(upper, one, v16_zero()));
}

/* log(1 + exp(x)) = max(x, 0) + log(1 + exp(-|x|)), 2 ULP */
V16_FN v16 v16_softplus(v16 x) { return v16_add(v16_max(v16_zero(), x), v16_log1p_unit(v16_exp_falling(v16_neg(v16_abs(x))))); }

/* y / (1 + exp(x)). exp(x) is s + s p with s = 2^n, of which the smaller one of 1 and s joins s p first: then 1 + exp(x) is as good as
 * rounded once. Above 80 it is y exp(-x), so that small results keep their bits. */
V16_FN v16 v16_logistic(v16 y, v16 x) {
    const v16 one = v16_set1(1.0f), limit = v16_set1(80.0f);
    v16 r;
    const v16 n = v16_exp_reduce(v16_max(v16_neg(limit), x), &r), s = v16_pow2_shifted(n), p = v16_expm1_near(r);
    const v16 near = v16_div(y, v16_add(v16_fma(s, p, v16_min(s, one)), v16_max(s, one)));
    const m16 far = v16_lt(limit, x);
    if (__builtin_expect(m16_any(far), 0)) return v16_select(far, v16_mul(y, v16_exp_falling(v16_neg(x))), near);
    return near;
}

/* 1 / (1 + exp(-x)), 2 ULP */
V16_FN v16 v16_sigmoid(v16 x) { return v16_logistic(v16_set1(1.0f), v16_neg(x)); }

/* x / (1 + exp(-p x)), 2 ULP for p = 1 and x > -87; below, exp(x) is denormal and x exp(x) has no more bits than it. */
V16_FN v16 v16_silu(v16 x, float p) { return v16_logistic(x, v16_mul(v16_set1(-p), x)); }

/* tanh(x), 2 ULP. |x| < 0.5625: x + x^3 q(x^2), poly 2^-29; else 1 - 2 / (exp(2 |x|) + 1). */
V16_FN v16 v16_tanh(v16 x) {
    const v16 one = v16_set1(1.0f), a = v16_abs(x), s = v16_mul(x, x);
    const v16 q = V16_POLY(s, -0x1.555548p-2f, 0x1.110c64p-3f, -0x1.b90758p-5f, 0x1.582242p-6f, -0x1.94be68p-8f);
    const v16 near = v16_fma(v16_mul(s, q), x, x);
    const v16 e = v16_exp_small(v16_min(v16_set1(20.0f), v16_add(a, a)));
    const v16 far = v16_sub(one, v16_div(v16_set1(2.0f), v16_add(e, one)));
    return v16_copysign(v16_select(v16_lt(a, v16_set1(0.5625f)), near, far), x);
}

/* erf(x), 2 ULP. |x| < 0.9375: x + x q(x^2), poly 2^-30; else 1 - exp(-(|x| + |x| q(|x|))), poly 2^-28; above 3.95 it is 1. */
V16_FN v16 v16_erf(v16 x) {
    const v16 one = v16_set1(1.0f), a = v16_abs(x), s = v16_mul(x, x);
    const v16 q =
        V16_POLY(s, 0x1.06eba8p-3f, -0x1.812742p-2f, 0x1.ce2de6p-4f, -0x1.b80c08p-6f, 0x1.54b154p-8f, -0x1.a98000p-11f, 0x1.5a7084p-14f);
    const v16 near = v16_fma(q, x, x);
    const v16 b = v16_min(v16_set1(3.95f), a);
    const v16 t = V16_POLY(b, 0x1.072f90p-3f, 0x1.457f5cp-1f, 0x1.af0d16p-4f, -0x1.76c594p-6f, 0x1.a4c14ap-9f, -0x1.bf89a8p-13f);
    const v16 e = v16_exp_small(v16_neg(v16_fma(t, b, b)));
    return v16_select(v16_lt(a, v16_set1(0.9375f)), near, v16_copysign(v16_sub(one, e), x));
}

/* x^y with every special case of C's pow, 4 ULP. log |x| = e ln 2 + 2 atanh(s), s = (m - 1) / (m + 1), as the sum of two floats:
 * q = 2 s has its rest from the remainder of the division, 2 atanh(s) = q + q^3 p(q^2), poly 2^-35. */
V16_FN v16 v16_pow(v16 x, v16 y) {
    const v16 zero = v16_zero(), one = v16_set1(1.0f), inf = v16_set1(__builtin_inff()), nan = v16_set1(__builtin_nanf(""));
    const v16 a = v16_abs(x);
    v16 e;
    const v16 m = v16_split(a, &e);
    const v16 d = v16_add(m, one), d_rest = v16_sub(m, v16_sub(d, one)), u = v16_sub(m, one), u2 = v16_add(u, u);
    const v16 q = v16_div(u2, d);
    const v16 q_rest = v16_div(v16_sub(v16_fma(v16_neg(q), d, u2), v16_mul(q, d_rest)), d);
    const v16 s = v16_mul(q, q), p = V16_POLY(s, 0x1.555554p-4f, 0x1.999c1cp-7f, 0x1.23d79ap-9f, 0x1.f09400p-12f);
    const v16 high = v16_mul(e, v16_set1(0x1.62e400p-1f)), sum = v16_add(high, q), sum_rest = v16_add(v16_sub(high, sum), q);
    const v16 low = v16_add(sum_rest, v16_fma(e, v16_set1(0x1.7f7d1cp-20f), v16_fma(v16_mul(s, q), p, q_rest)));
    v16 log = v16_add(sum, low), log_rest = v16_add(v16_sub(sum, log), low);
    const m16 finite = m16_and(v16_lt(zero, a), v16_lt(a, inf));
    log_rest = v16_select(finite, log_rest, zero);
    log = v16_select(finite, log, v16_select(v16_eq(a, zero), v16_neg(inf), a));

    const v16 t = v16_mul(y, log), t_rest = v16_fma(y, log_rest, v16_fma(y, log, v16_neg(t)));
    v16 z = v16_exp_sum(t, v16_select(v16_lt(v16_abs(t), v16_set1(110.0f)), t_rest, zero));

    const v16 half = v16_mul(y, v16_set1(0.5f));
    const m16 whole = v16_eq(v16_trunc(y), y), odd = m16_and(whole, v16_ne(v16_trunc(half), half));
    z = v16_select(odd, v16_copysign(z, x), z);
    z = v16_select(m16_and(m16_and(v16_lt(x, zero), finite), m16_not(whole)), nan, z);
    const m16 minus_one = m16_and(v16_eq(a, one), v16_eq(v16_abs(y), inf));
    return v16_select(m16_or(m16_or(v16_eq(y, zero), v16_eq(x, one)), minus_one), one, z);
}

/* Scalar reduction of one large x: quadrant of x, and *r = the rest in -pi/4..pi/4 (inf and NaN: NaN). x = m 2^k with whole m of 24 bits;
 * of 2/pi only the 96 bits from bit k - 1 on matter, the ones above make multiples of 4. (Payne and Hanek.) */
static inline int32_t v16_quadrant_large(float x, float *r) {
    static const uint32_t two_over_pi[8] = {0, 0xa2f9836e, 0x4e441529, 0xfc2757d1, 0xf534ddc0, 0xdb629599, 0x3c439041, 0xfe5163ab};
    union {
        float f;
        uint32_t u;
    } in = {x};
    const int32_t exponent = (int32_t)(in.u >> 23 & 0xff);
    if (exponent == 0xff) {
        *r = __builtin_nanf("");
        return 0;
    }
    const uint32_t m = (in.u & 0x7fffff) | 0x800000;
    const int32_t first = exponent - 127 - 23 - 2 + 32, word = first >> 5, shift = first & 31;
    const unsigned __int128 bits = (unsigned __int128)((uint64_t)two_over_pi[word] << 32 | two_over_pi[word + 1]) << 64 |
                                   ((uint64_t)two_over_pi[word + 2] << 32 | two_over_pi[word + 3]);
    const unsigned __int128 product = m * (bits << shift >> 32);
    const int64_t fraction = (int64_t)(uint64_t)(product >> 30);
    const int32_t quadrant = (int32_t)(product >> 94 & 3) + (fraction < 0);
    const float rest = (float)((double)fraction * 0x1.921fb54442d18p-64);
    *r = in.u >> 31 ? -rest : rest;
    return in.u >> 31 ? -quadrant : quadrant;
}

/* x = n pi/2 + *r. Up to 2^12 by three parts of pi/2 (Cody and Waite), above lane by lane. */
V16_FN w16 v16_quadrant(v16 x, v16 *r) {
    const v16 shift = v16_set1(0x1.8p23f), t = v16_fma(x, v16_set1(0x1.45f306p-1f), shift), n = v16_sub(t, shift);
    const v16 second = v16_set1(0x1.777a5cp-25f), a = v16_fma(n, v16_set1(-0x1.921fb6p0f), x), p = v16_mul(n, second);
    const v16 b = v16_add(a, p), p_seen = v16_sub(b, a);
    const v16 rest = v16_add(v16_sub(a, v16_sub(b, p_seen)), v16_sub(p, p_seen)); /* of the sum; then of the product */
    *r = v16_add(b, v16_fma(n, v16_set1(0x1.ee59dap-50f), v16_add(rest, v16_fma(n, second, v16_neg(p)))));
    w16 quadrant = w16_sub(w16_bits(t), w16_bits(shift));
    const v16 limit = v16_set1(0x1p12f), size = v16_abs(x);
    if (m16_any(m16_not(v16_le(size, limit)))) {
        float xs[16], rs[16];
        int32_t qs[16];
        v16_store(xs, x);
        v16_store(rs, *r);
        w16_store(qs, quadrant);
        for (int i = 0; i < 16; i++)
            if (!(__builtin_fabsf(xs[i]) <= 0x1p12f)) qs[i] = v16_quadrant_large(xs[i], &rs[i]);
        *r = v16_load(rs);
        quadrant = w16_load(qs);
    }
    return quadrant;
}

/* sin of quadrant + r: r + r^3 q(r^2), poly 2^-32, or cos: 1 - r^2 / 2 + r^4 q(r^2), poly 2^-33 */
V16_FN v16 v16_sin_quadrant(w16 quadrant, v16 r) {
    const v16 s = v16_mul(r, r);
    const v16 sine = v16_fma(v16_mul(s, V16_POLY(s, -0x1.555556p-3f, 0x1.111172p-7f, -0x1.a0573cp-13f, 0x1.7ba6b8p-19f)), r, r);
    const v16 cosine = V16_POLY(s, 1.0f, -0.5f, 0x1.55554ap-5f, -0x1.6c0c28p-10f, 0x1.99e818p-16f);
    const m16 even = v16_eq(v16_from_w16(w16_and(quadrant, w16_set1(1))), v16_zero());
    const w16 sign = w16_shl(w16_and(quadrant, w16_set1(2)), 30);
    const v16 y = v16_select(even, sine, cosine);
    return v16_bits(w16_add(w16_bits(y), sign)); /* the carry out of the sign bit is lost: this is xor */
}

/* sin(x), 2 ULP, and cos(x), 2 ULP, for every x */
V16_FN v16 v16_sin(v16 x) {
    v16 r;
    const w16 quadrant = v16_quadrant(x, &r);
    return v16_select(v16_eq(x, v16_zero()), x, v16_sin_quadrant(quadrant, r));
}
V16_FN v16 v16_cos(v16 x) {
    v16 r;
    const w16 quadrant = v16_quadrant(x, &r);
    return v16_sin_quadrant(w16_add(quadrant, w16_set1(1)), r);
}

/* tan(x), 4 ULP */
V16_FN v16 v16_tan(v16 x) { return v16_div(v16_sin(x), v16_cos(x)); }

/* atan(x), 2 ULP: x + x^3 q(x^2), poly 2^-31, of |x| or 1 / |x| */
V16_FN v16 v16_atan(v16 x) {
    const v16 one = v16_set1(1.0f), a = v16_abs(x);
    const m16 far = v16_lt(one, a);
    const v16 t = v16_select(far, v16_div(one, a), a), s = v16_mul(t, t);
    const v16 q = V16_POLY(s, -0x1.555552p-2f, 0x1.99981ap-3f, -0x1.2475f8p-3f, 0x1.c50efap-4f, -0x1.69498ap-4f, 0x1.14f14ep-4f,
                           -0x1.703844p-5f, 0x1.74b164p-6f, -0x1.e5acf8p-8f, 0x1.28a22ep-10f);
    const v16 y = v16_fma(v16_mul(s, q), t, t);
    return v16_copysign(v16_select(far, v16_sub(v16_set1(0x1.921fb6p0f), y), y), x);
}

/* asin(t) for 0 <= t <= 1/2: t + t^3 q(t^2), poly 2^-31 */
V16_FN v16 v16_asin_small(v16 t) {
    const v16 s = v16_mul(t, t);
    const v16 q = V16_POLY(s, 0x1.55554cp-3f, 0x1.33389ep-4f, 0x1.6caabap-5f, 0x1.04aef0p-5f, 0x1.d79814p-7f, 0x1.33d1a8p-5f);
    return v16_fma(v16_mul(s, q), t, t);
}

/* asin(x), 3 ULP: above 1/2 it is pi/2 - 2 asin(sqrt((1 - |x|) / 2)) */
V16_FN v16 v16_asin(v16 x) {
    const v16 half = v16_set1(0.5f), a = v16_abs(x);
    const m16 near = v16_lt(a, half);
    const v16 y = v16_asin_small(v16_select(near, a, v16_sqrt(v16_mul(half, v16_sub(v16_set1(1.0f), a)))));
    return v16_copysign(v16_select(near, y, v16_fma(v16_set1(-2.0f), y, v16_set1(0x1.921fb6p0f))), x);
}

/* acos(x), 3 ULP */
V16_FN v16 v16_acos(v16 x) {
    const v16 half = v16_set1(0.5f), a = v16_abs(x);
    const m16 near = v16_lt(a, half);
    const v16 y = v16_asin_small(v16_select(near, a, v16_sqrt(v16_mul(half, v16_sub(v16_set1(1.0f), a)))));
    const v16 from_edge = v16_add(y, y);
    const v16 far = v16_select(v16_lt(x, v16_zero()), v16_sub(v16_set1(0x1.921fb6p1f), from_edge), from_edge);
    const v16 centre = v16_sub(v16_set1(0x1.921fb6p0f), v16_sub(v16_copysign(y, x), v16_set1(-0x1.777a5cp-25f)));
    return v16_select(near, centre, far);
}

/* log(1 + x), 3 ULP: x log(w) / (w - 1) with w = 1 + x rounded */
V16_FN v16 v16_log1p(v16 x) {
    const v16 one = v16_set1(1.0f), w = v16_add(one, x), v = v16_sub(w, one);
    const v16 y = v16_mul(v16_log(w), v16_div(x, v));
    return v16_select(v16_eq(v, v16_zero()), x, v16_select(v16_lt(w, v16_set1(__builtin_inff())), y, w));
}

/* sinh(x), 4 ULP: from expm1 below 1, else exp(|x| / 2)^2 / 2 -+ its inverse, which overflows only when the result does */
V16_FN v16 v16_sinh(v16 x) {
    const v16 one = v16_set1(1.0f), half = v16_set1(0.5f), a = v16_abs(x);
    const v16 t = v16_expm1(v16_min(one, a)), near = v16_mul(half, v16_add(t, v16_div(t, v16_add(t, one))));
    const v16 h = v16_exp(v16_mul(half, a));
    const v16 far = v16_sub(v16_mul(v16_mul(half, h), h), v16_div(v16_div(half, h), h));
    return v16_copysign(v16_select(v16_lt(a, one), near, far), x);
}

/* cosh(x), 4 ULP */
V16_FN v16 v16_cosh(v16 x) {
    const v16 half = v16_set1(0.5f), h = v16_exp(v16_mul(half, v16_abs(x)));
    return v16_add(v16_mul(v16_mul(half, h), h), v16_div(v16_div(half, h), h));
}

/* log(2 x) for large x */
V16_FN v16 v16_log_twice(v16 x) { return v16_add(v16_log(x), v16_set1(0x1.62e430p-1f)); }

/* asinh(x), 4 ULP: log(1 + a + a^2 / (1 + sqrt(a^2 + 1))) */
V16_FN v16 v16_asinh(v16 x) {
    const v16 one = v16_set1(1.0f), a = v16_abs(x), s = v16_mul(a, a);
    const v16 y = v16_log1p(v16_add(a, v16_div(s, v16_add(one, v16_sqrt(v16_add(s, one))))));
    return v16_copysign(v16_select(v16_lt(a, v16_set1(0x1p20f)), y, v16_log_twice(a)), x);
}

/* acosh(x), 4 ULP: log(1 + t + sqrt(2 t + t^2)), t = x - 1 */
V16_FN v16 v16_acosh(v16 x) {
    const v16 t = v16_sub(x, v16_set1(1.0f));
    const v16 y = v16_log1p(v16_add(t, v16_sqrt(v16_fma(t, t, v16_add(t, t)))));
    const v16 real = v16_select(v16_lt(v16_set1(0x1p20f), x), v16_log_twice(x), y);
    return v16_select(v16_lt(t, v16_zero()), v16_set1(__builtin_nanf("")), real);
}

/* atanh(x), 4 ULP: log(1 + 2 a / (1 - a)) / 2 */
V16_FN v16 v16_atanh(v16 x) {
    const v16 one = v16_set1(1.0f), a = v16_abs(x);
    return v16_copysign(v16_mul(v16_set1(0.5f), v16_log1p(v16_div(v16_add(a, a), v16_sub(one, a)))), x);
}
