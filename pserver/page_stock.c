#include "pserver/page_stock.h"

#include "common/base/clock.h"
#include "common/base/condition.h"
#include "common/base/memory.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* What is mapped at a time: of the pages to be prepared as much as there is already, within these.
 */
#define REGION_BYTES_MIN ((size_t)32 << 20)
#define REGION_BYTES_MAX ((size_t)1 << 30)
/* The same for small pages. */
#define SMALL_BYTES ((size_t)8 << 20)
/*
 * Pages ready in advance: a 32nd of what has been taken, so that a table does not pay for much that
 * it may never need, and no more than the rows that come while a few pages are prepared.
 */
#define READY_SHARE 32u
#define SPARE_SIZES 22u /* up to a page */
#define READY_MAX   8u
/*
 * Whoever finds no page ready waits for the next one, but no longer than this: mostly 0.2 ms, while
 * what comes from small pages costs each of its lookups some nanoseconds, for ever.
 */
#define WAIT_NS 1000000

struct region {
	void *memory;
	size_t bytes;
};

/* A piece that came back: its first bytes. */
struct spare {
	struct spare *next;
};

/* A stretch of memory that is handed out from its beginning. */
struct stretch {
	unsigned char *memory;
	size_t left;
};

struct page_stock {
	pthread_mutex_t lock; /* guards all but `fresh` */
	pthread_cond_t wanted;
	pthread_cond_t prepared;
	bool started, stopping;
	bool gave_up; /* the thread: there is no more memory */
	pthread_t thread;

	struct region *regions; /* all mappings */
	size_t region_count, region_capacity;
	size_t taken; /* bytes */

	unsigned char *ready[READY_MAX]; /* prepared pages: a ring from ready_first on */
	size_t ready_first, ready_count;
	struct stretch page;		   /* the prepared page that pieces are cut from */
	struct stretch small;		   /* pages as the system gives them */
	struct spare *spares[SPARE_SIZES]; /* by the logarithm of their size */

	struct stock_order *orders; /* a queue */
	struct stock_order *busy;   /* a page of it is being prepared */
	pthread_cond_t idle;	    /* busy is NULL again */

	struct stretch fresh; /* the thread's: mapped, to be prepared */
};

static void *stretch_cut(struct stretch *stretch, size_t bytes)
{
	void *piece = stretch->memory;
	stretch->memory += bytes;
	stretch->left -= bytes;
	return piece;
}

static enum status map(
	struct page_stock *stock, size_t bytes, struct stretch *ret, struct error *err)
{
	enum status status = memory_grow(&stock->regions, &stock->region_capacity,
		stock->region_count + 1, sizeof(*stock->regions), "list of mappings", err);
	if (status != STATUS_OK)
		return status;
	void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (memory == MAP_FAILED)
		return error_set(err, STATUS_RESOURCE_EXHAUSTED,
			"rows: no memory for %zu bytes: %s", bytes, strerror(errno));
	stock->regions[stock->region_count++] = (struct region){memory, bytes};
	*ret = (struct stretch){memory, bytes};
	return STATUS_OK;
}

/* ---- the thread ---- */

/* The first page within the mapping that does not begin with its first byte. */
static unsigned char *first_page(unsigned char *mapping)
{
	/*
	 * The first fault of a mapping keeps all others waiting that map memory or give it back, so
	 * it should not be one that takes milliseconds.
	 */
	*(volatile unsigned char *)mapping = 0;
	return mapping + (STOCK_PAGE_BYTES - (uintptr_t)mapping % STOCK_PAGE_BYTES);
}

static bool map_fresh(struct page_stock *stock)
{
	size_t bytes = stock->taken;
	bytes = bytes < REGION_BYTES_MIN ? REGION_BYTES_MIN : bytes;
	bytes = bytes > REGION_BYTES_MAX ? REGION_BYTES_MAX
					 : bytes / STOCK_PAGE_BYTES * STOCK_PAGE_BYTES;
	/* A page more, for first_page(). */
	struct stretch fresh;
	if (map(stock, bytes + STOCK_PAGE_BYTES, &fresh, NULL) != STATUS_OK)
		return false;
	fresh.memory = first_page(fresh.memory);
	fresh.left = bytes;
	/* Refused where there are no huge pages: small ones are prepared then. */
	(void)madvise(fresh.memory, fresh.left, MADV_HUGEPAGE);
	stock->fresh = fresh;
	return true;
}

/*
 * By touching and not by MADV_POPULATE_WRITE: that keeps whoever maps memory waiting meanwhile,
 * where a fault locks out nobody but changes of its own mapping.
 */
static void touch(void *page)
{
	const size_t step = (size_t)sysconf(_SC_PAGESIZE);
	volatile unsigned char *bytes = page;
	for (size_t at = 0; at < STOCK_PAGE_BYTES; at += step)
		bytes[at] = 0;
}

static size_t ready_wanted(const struct page_stock *stock)
{
	size_t wanted = stock->taken / STOCK_PAGE_BYTES / READY_SHARE;
	wanted = wanted < 1 ? 1 : wanted;
	return wanted > READY_MAX ? READY_MAX : wanted;
}

static void prepare_ready(struct page_stock *stock)
{
	pthread_mutex_unlock(&stock->lock);
	unsigned char *page = stretch_cut(&stock->fresh, STOCK_PAGE_BYTES);
	touch(page);
	pthread_mutex_lock(&stock->lock);
	stock->ready[(stock->ready_first + stock->ready_count++) % READY_MAX] = page;
	pthread_cond_broadcast(&stock->prepared);
}

/* An order's memory is a mapping of its own, so that its user can give it back. */
static void map_order(struct stock_order *order)
{
	const size_t bytes = order->bytes + STOCK_PAGE_BYTES;
	unsigned char *mapping = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (mapping == MAP_FAILED)
		return;
	unsigned char *memory = first_page(mapping);
	unsigned char *end = memory + order->bytes;
	(void)madvise(memory, order->bytes, MADV_HUGEPAGE);
	munmap(mapping, (size_t)(memory - mapping));
	if (mapping + bytes > end)
		munmap(end, (size_t)(mapping + bytes - end));
	order->memory = memory;
}

static void drop_order(struct page_stock *stock)
{
	struct stock_order order = *stock->orders;
	*stock->orders = (struct stock_order){0};
	stock->orders = order.next;
	pthread_mutex_unlock(&stock->lock);
	if (order.memory)
		munmap(order.memory, order.bytes);
	pthread_mutex_lock(&stock->lock);
}

/* The next page of the first order. What cannot be mapped is left to its user. */
static void prepare_order(struct page_stock *stock)
{
	struct stock_order *order = stock->orders;
	if (order->abandoned) {
		drop_order(stock);
		return;
	}
	stock->busy = order;
	pthread_mutex_unlock(&stock->lock);
	if (!order->memory)
		map_order(order);
	if (order->memory)
		touch(order->memory + order->prepared);
	pthread_mutex_lock(&stock->lock);
	order->prepared = order->memory ? order->prepared + STOCK_PAGE_BYTES : order->bytes;
	if (order->prepared == order->bytes)
		stock->orders = order->next;
	stock->busy = NULL;
	pthread_cond_broadcast(&stock->idle);
}

static void *prepare_pages(void *argument)
{
	struct page_stock *stock = argument;
	pthread_mutex_lock(&stock->lock);
	while (!stock->stopping) {
		if (stock->ready_count < ready_wanted(stock)) {
			/* Out of memory: what comes now is for its user to wait for and report. */
			if (stock->fresh.left == 0 && !map_fresh(stock)) {
				stock->gave_up = true;
				pthread_cond_broadcast(&stock->prepared);
				break;
			}
			prepare_ready(stock);
		} else if (stock->orders) {
			prepare_order(stock);
		} else {
			pthread_cond_wait(&stock->wanted, &stock->lock);
		}
	}
	pthread_mutex_unlock(&stock->lock);
	return NULL;
}

/* Without a thread all pieces come from small pages. Signals are for the program's own threads. */
static void start(struct page_stock *stock)
{
	sigset_t all, before;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	stock->started = pthread_create(&stock->thread, NULL, prepare_pages, stock) == 0;
	pthread_sigmask(SIG_SETMASK, &before, NULL);
}

static void wake(struct page_stock *stock)
{
	if (!stock->started)
		start(stock);
	if (stock->orders || stock->ready_count < ready_wanted(stock))
		pthread_cond_signal(&stock->wanted);
}

static void stop(struct page_stock *stock)
{
	if (!stock->started)
		return;
	pthread_mutex_lock(&stock->lock);
	stock->stopping = true;
	pthread_cond_signal(&stock->wanted);
	pthread_mutex_unlock(&stock->lock);
	pthread_join(stock->thread, NULL);
}

/* ---- its users ---- */

enum status page_stock_new(struct page_stock **ret, struct error *err)
{
	struct page_stock *stock;
	enum status status = memory_zalloc(&stock, 1, sizeof(*stock), "stock of pages", err);
	if (status != STATUS_OK)
		return status;
	pthread_mutex_init(&stock->lock, NULL);
	condition_init(&stock->prepared);
	pthread_cond_init(&stock->wanted, NULL);
	pthread_cond_init(&stock->idle, NULL);
	*ret = stock;
	return STATUS_OK;
}

static enum status take_small(struct page_stock *stock, void **ret, size_t bytes, struct error *err)
{
	if (stock->small.left < bytes) {
		enum status status = map(stock, SMALL_BYTES, &stock->small, err);
		if (status != STATUS_OK)
			return status;
	}
	*ret = stretch_cut(&stock->small, bytes);
	return STATUS_OK;
}

/* The next ready page mostly follows the one before: then nothing between them is lost. */
static void add_page(struct page_stock *stock)
{
	unsigned char *page = stock->ready[stock->ready_first];
	stock->ready_first = (stock->ready_first + 1) % READY_MAX;
	stock->ready_count--;
	if (stock->page.memory && stock->page.memory + stock->page.left == page)
		stock->page.left += STOCK_PAGE_BYTES;
	else
		stock->page = (struct stretch){page, STOCK_PAGE_BYTES};
}

static bool is_spare_size(size_t bytes)
{
	return bytes <= STOCK_PAGE_BYTES && (bytes & (bytes - 1)) == 0;
}

static void *take_spare(struct page_stock *stock, size_t bytes)
{
	struct spare **list = &stock->spares[__builtin_ctzl(bytes)];
	struct spare *spare = *list;
	if (!spare)
		return NULL;
	*list = spare->next;
	return memset(spare, 0, bytes);
}

/* Sees to it that a piece can be cut from a page, unless none comes in time. */
static void find_page(struct page_stock *stock, size_t bytes)
{
	const uint64_t until_ns = clock_now_ns(clock_real()) + WAIT_NS;
	wake(stock);
	while (stock->page.left < bytes && stock->ready_count == 0 && stock->started &&
		!stock->gave_up)
		if (!condition_wait_until(&stock->prepared, &stock->lock, until_ns))
			break;
	if (stock->page.left < bytes && stock->ready_count > 0)
		add_page(stock);
}

enum status page_stock_take(struct page_stock *stock, void *ret, size_t bytes, struct error *err)
{
	enum status status = STATUS_OK;
	void *piece = NULL;
	pthread_mutex_lock(&stock->lock);
	if (is_spare_size(bytes))
		piece = take_spare(stock, bytes);
	if (!piece && stock->page.left < bytes)
		find_page(stock, bytes);
	if (piece)
		stock->taken -= bytes; /* it has been counted */
	else if (stock->page.left >= bytes)
		piece = stretch_cut(&stock->page, bytes);
	else
		status = take_small(stock, &piece, bytes, err);
	if (status == STATUS_OK) {
		stock->taken += bytes;
		memcpy(ret, &piece, sizeof(piece));
	}
	wake(stock);
	pthread_mutex_unlock(&stock->lock);
	return status;
}

void page_stock_give(struct page_stock *stock, void *piece, size_t bytes)
{
	if (!is_spare_size(bytes))
		return;
	struct spare *spare = piece;
	pthread_mutex_lock(&stock->lock);
	struct spare **list = &stock->spares[__builtin_ctzl(bytes)];
	spare->next = *list;
	*list = spare;
	pthread_mutex_unlock(&stock->lock);
}

void page_stock_order(struct page_stock *stock, struct stock_order *order, size_t bytes)
{
	pthread_mutex_lock(&stock->lock);
	if (order->bytes == 0) {
		struct stock_order **last = &stock->orders;
		*order = (struct stock_order){.bytes = bytes};
		while (*last)
			last = &(*last)->next;
		*last = order;
	}
	wake(stock);
	pthread_mutex_unlock(&stock->lock);
}

void *page_stock_collect(struct page_stock *stock, struct stock_order *order, size_t bytes)
{
	void *memory = NULL;
	pthread_mutex_lock(&stock->lock);
	if (order->bytes == bytes && order->prepared == bytes) {
		memory = order->memory;
		*order = (struct stock_order){0};
	} else if (order->bytes > 0) {
		order->abandoned = true;
	}
	pthread_mutex_unlock(&stock->lock);
	return memory;
}

void page_stock_cancel(struct page_stock *stock, struct stock_order *order)
{
	pthread_mutex_lock(&stock->lock);
	while (stock->busy == order)
		pthread_cond_wait(&stock->idle, &stock->lock);
	struct stock_order **link = &stock->orders;
	while (*link && *link != order)
		link = &(*link)->next;
	if (*link)
		*link = order->next;
	pthread_mutex_unlock(&stock->lock);
	if (order->memory)
		munmap(order->memory, order->bytes);
	*order = (struct stock_order){0};
}

void page_stock_reset(struct page_stock *stock)
{
	stop(stock);
	for (size_t i = 0; i < stock->region_count; i++)
		munmap(stock->regions[i].memory, stock->regions[i].bytes);
	free(stock->regions);
	stock->started = stock->stopping = stock->gave_up = false;
	stock->regions = NULL;
	stock->region_count = stock->region_capacity = 0;
	stock->taken = 0;
	stock->ready_first = stock->ready_count = 0;
	stock->page = stock->small = stock->fresh = (struct stretch){0};
	memset(stock->spares, 0, sizeof(stock->spares));
}

void page_stock_free(struct page_stock *stock)
{
	if (!stock)
		return;
	page_stock_reset(stock);
	pthread_cond_destroy(&stock->prepared);
	pthread_cond_destroy(&stock->wanted);
	pthread_cond_destroy(&stock->idle);
	pthread_mutex_destroy(&stock->lock);
	free(stock);
}
