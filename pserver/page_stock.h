/*
 * Memory for the records of large tables, on huge pages that a thread of the stock has prepared.
 *
 * A record that is looked up at random in gigabytes costs a TLB miss, and the walk through page
 * tables that fit no cache, with every small page it lies on; huge pages save most of that. But
 * whoever touches one first waits until the kernel has cleared 2 MiB, 0.1 to 9 ms on a virtual
 * machine whose host has yet to find the memory, and a table that takes whole ones for each of its
 * partitions leaves the last of each half empty. So pieces much smaller than a page are cut from
 * pages that all tables share, and the pages are touched by a thread, some in advance. A piece that
 * finds none ready waits a millisecond at most for the one that is being prepared; without it, it
 * comes from small pages and is touched by its user.
 *
 * The pages are huge where the system offers it (transparent_hugepage "madvise" or "always"); where
 * it does not they are small ones, touched in advance all the same.
 *
 * Threads: internally locked. The thread starts with the first piece.
 */
#ifndef MARQUEE_PSERVER_PAGE_STOCK_H
#define MARQUEE_PSERVER_PAGE_STOCK_H

#include "common/base/status.h"

#include <stdbool.h>
#include <stddef.h>

#define STOCK_PAGE_BYTES ((size_t)2 << 20)

struct page_stock;

/* Returns an owned stock that has taken no memory for pages yet. */
MUST_CHECK enum status page_stock_new(struct page_stock **ret, struct error *err);
/* Takes all pieces back. Takes NULL. */
void page_stock_free(struct page_stock *stock);

/*
 * A zeroed piece in *ret, lent until page_stock_reset() or page_stock_free(); 64-byte aligned.
 * bytes: STOCK_PAGE_BYTES or a small part of it, a multiple of 64. RESOURCE_EXHAUSTED.
 */
MUST_CHECK enum status page_stock_take(
	struct page_stock *stock, void *ret, size_t bytes, struct error *err);

/*
 * Gives a piece back that page_stock_take() lent: the next one of exactly this size may be it. For
 * sizes of a power of two; others are kept until the end.
 */
void page_stock_give(struct page_stock *stock, void *piece, size_t bytes);

/*
 * Memory asked for long before it is needed, whole pages, which the thread prepares meanwhile. It
 * stays where it is from page_stock_order() to page_stock_cancel(). All fields are the stock's.
 */
struct stock_order {
	struct stock_order *next; /* in the stock's queue */
	unsigned char *memory;
	size_t bytes; /* 0: nothing is asked for */
	size_t prepared;
	bool abandoned; /* still in the queue, but its user does without */
};

/* Asks, unless the last order is still there. bytes: a multiple of STOCK_PAGE_BYTES. */
void page_stock_order(struct page_stock *stock, struct stock_order *order, size_t bytes);
/*
 * Owned zeroed memory of so many bytes, for munmap(). NULL: so much has not been asked for, or it
 * is not ready, and then the order is withdrawn. Does not wait.
 */
void *page_stock_collect(struct page_stock *stock, struct stock_order *order, size_t bytes);
/* Withdraws an order, or none, and gives back what was prepared; may wait for a page. */
void page_stock_cancel(struct page_stock *stock, struct stock_order *order);

/* Takes all pieces back; the stock is as new. No order may be left, no other call under way. */
void page_stock_reset(struct page_stock *stock);

#endif
