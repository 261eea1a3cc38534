/*
 * Sixteen floats as one value, on whatever vectors this file is compiled for.
 *
 * f32x16 is always sixteen lanes: one register with AVX-512, two with AVX2, four with SSE2 and
 * NEON. Every operation acts on the lanes one by one, and f32x16_sum() adds them up in one fixed
 * tree, so a kernel written with it rounds the same on every instruction set.
 *
 * tanh is SLEEF's, to 3.5 ulp (the one to 1.0 costs the model a seventh of its speed). Its variants
 * with FMA (finz_) agree with one another bit for bit; the one for plain SSE2 (cinz_) may differ
 * from them in the last bits.
 *
 * Private to common/nn. Included by files that are compiled once per instruction set.
 */
#ifndef MARQUEE_NN_VECTOR_H
#define MARQUEE_NN_VECTOR_H

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if defined(__x86_64__) || defined(__aarch64__)
#include <sleef.h>
#endif

#if defined(__AVX512F__)
#define NATIVE_BYTES 64
#elif defined(__AVX2__)
#define NATIVE_BYTES 32
#else
#define NATIVE_BYTES 16
#endif

#define LANES	     16
#define NATIVE_LANES (NATIVE_BYTES / 4)
#define PARTS	     (LANES / NATIVE_LANES)

typedef float native_f32 __attribute__((vector_size(NATIVE_BYTES)));
typedef int32_t native_i32 __attribute__((vector_size(NATIVE_BYTES)));
/* The same in memory, at any float's address. */
typedef float stored_f32
	__attribute__((vector_size(NATIVE_BYTES), aligned(sizeof(float)), may_alias));

typedef struct {
	native_f32 part[PARTS];
} f32x16;

static inline f32x16 f32x16_load(const float *from)
{
	f32x16 v;
	for (int i = 0; i < PARTS; i++)
		v.part[i] = *(const stored_f32 *)(from + i * NATIVE_LANES);
	return v;
}

static inline void f32x16_store(float *to, f32x16 v)
{
	for (int i = 0; i < PARTS; i++)
		*(stored_f32 *)(to + i * NATIVE_LANES) = v.part[i];
}

static inline f32x16 f32x16_splat(float x)
{
	f32x16 v;
	for (int i = 0; i < PARTS; i++)
		v.part[i] = x - (native_f32){0};
	return v;
}

/* The first n lanes from memory (n < 16), zeros in the others. */
static inline f32x16 f32x16_load_part(const float *from, size_t n)
{
	float lanes[LANES] = {0};
	memcpy(lanes, from, n * sizeof(float));
	return f32x16_load(lanes);
}

static inline void f32x16_store_part(float *to, f32x16 v, size_t n)
{
	float lanes[LANES];
	f32x16_store(lanes, v);
	memcpy(to, lanes, n * sizeof(float));
}

/* The first n lanes of v, zeros (also for NaN) in the others. */
static inline f32x16 f32x16_first(f32x16 v, size_t n)
{
	static const int32_t masks[2 * LANES] = {
		-1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1};
	for (int i = 0; i < PARTS; i++) {
		native_i32 mask;
		memcpy(&mask, masks + LANES - n + (size_t)i * NATIVE_LANES, sizeof(mask));
		v.part[i] = (native_f32)((native_i32)v.part[i] & mask);
	}
	return v;
}

static inline f32x16 f32x16_add(f32x16 a, f32x16 b)
{
	for (int i = 0; i < PARTS; i++)
		a.part[i] += b.part[i];
	return a;
}

static inline f32x16 f32x16_sub(f32x16 a, f32x16 b)
{
	for (int i = 0; i < PARTS; i++)
		a.part[i] -= b.part[i];
	return a;
}

static inline f32x16 f32x16_mul(f32x16 a, f32x16 b)
{
	for (int i = 0; i < PARTS; i++)
		a.part[i] *= b.part[i];
	return a;
}

/* Lane by lane: v where which[i] is `wanted`, zeros elsewhere. */
static inline f32x16 f32x16_where(const uint32_t *which, uint32_t wanted, f32x16 v)
{
	for (int i = 0; i < PARTS; i++) {
		native_i32 lanes;
		memcpy(&lanes, which + i * NATIVE_LANES, sizeof(lanes));
		native_i32 mask = (native_i32)(lanes == (int32_t)wanted - (native_i32){0});
		v.part[i] = (native_f32)((native_i32)v.part[i] & mask);
	}
	return v;
}

/* Lanes i and i + 8, then i + 4, i + 2, i + 1: the same tree for every register width. */
static inline float f32x16_sum(f32x16 v)
{
	float lanes[LANES];
	f32x16_store(lanes, v);
	for (int width = LANES / 2; width > 0; width /= 2)
		for (int i = 0; i < width; i++)
			lanes[i] += lanes[i + width];
	return lanes[0];
}

static inline native_f32 native_tanh(native_f32 x)
{
#if defined(__AVX512F__)
	return (native_f32)Sleef_finz_tanhf16_u35avx512f((__m512)x);
#elif defined(__AVX2__)
	return (native_f32)Sleef_finz_tanhf8_u35avx2((__m256)x);
#elif defined(__x86_64__)
	return (native_f32)Sleef_cinz_tanhf4_u35sse2((__m128)x);
#elif defined(__aarch64__)
	return (native_f32)Sleef_finz_tanhf4_u35advsimd((float32x4_t)x);
#else
	for (int i = 0; i < NATIVE_LANES; i++)
		x[i] = tanhf(x[i]);
	return x;
#endif
}

static inline f32x16 f32x16_tanh(f32x16 v)
{
	for (int i = 0; i < PARTS; i++)
		v.part[i] = native_tanh(v.part[i]);
	return v;
}

#endif
