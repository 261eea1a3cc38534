/*
 * What the files that call FAISS share: exceptions become statuses, and files become durable.
 *
 * C++ only. Threads: pure functions.
 */
#ifndef MARQUEE_INFERENCE_FAISS_GUARD_H
#define MARQUEE_INFERENCE_FAISS_GUARD_H

extern "C" {
#include "common/base/status.h"
}

#include <faiss/Index.h>

#include <exception>
#include <new>
#include <stdexcept>

/* Runs a piece of C++; an exception becomes a status, whose message begins with `what`. */
template <typename Body> enum status faiss_guard(const char *what, struct error *err, Body body)
{
	try {
		return body();
	} catch (const std::bad_alloc &) {
		return error_set(err, STATUS_RESOURCE_EXHAUSTED, "%s: no memory", what);
	} catch (const std::length_error &) {
		return error_set(err, STATUS_RESOURCE_EXHAUSTED, "%s: no memory", what);
	} catch (const std::exception &exception) {
		return error_set(err, STATUS_INTERNAL, "%s: %s", what, exception.what());
	}
}

/* Writes a durable file, replacing one that is there. */
enum status faiss_write(const faiss::Index *index, const char *path, struct error *err);

#endif
