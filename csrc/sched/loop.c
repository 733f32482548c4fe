#include "seat.h"

#include <sched.h>
#include <string.h>

#include "range.h"
#include "share.h"

enum { SERIAL_SHIFT = 40, TYPE_BITS = 10, TYPE_MASK = (1 << TYPE_BITS) - 1 };

static uint64_t serial_of(uint64_t call) { return call >> SERIAL_SHIFT; }
static int64_t called_of(uint64_t call, int32_t type) { return (int64_t)(call >> TYPE_BITS * type & TYPE_MASK); }
static bool is_called(uint64_t call, const pool_seat *seat) { return called_of(call, seat->config.type) > seat->rank; }
static uint32_t busy_in(uint64_t serial) { return (uint32_t)serial << 2 | BUSY; }
static pool_loop *loop_of(asymo_pool *pool, uint64_t serial) { return &pool->loops[serial % ASYMO_POOL_AHEAD]; }
static uint64_t tag_of(uint64_t serial) { return serial & 0xffff; }

static void bump(_Atomic int64_t *counter, int64_t by) {
    atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + by, memory_order_relaxed);
}

/* ---- taking units ------------------------------------------------------------------------------------------------------------ */

/* One worker in one loop. */
typedef struct {
    pool_seat *seats, *seat;
    const pool_loop *loop;
    const asymo_share *share;
    uint64_t tag;
    bool is_caller;
} taker;

/* Makes the last `elapsed` ticks `slowdown` times as many. What may be computed again is, as often as that fits; then the worker waits. */
static void slow_down(const taker *t, int64_t begin, int64_t end, int64_t from_ticks) {
    const double slowdown = t->seat->config.slowdown;
    const int64_t once = asymo_now_ticks() - from_ticks, until = from_ticks + (int64_t)(slowdown * (double)once);
    while (t->loop->loop.repeatable && asymo_now_ticks() + once <= until)
        t->loop->loop.work(t->loop->loop.context, t->seat->index, begin, end);
    while (asymo_now_ticks() < until) {
    }
}

static void compute(const taker *t, asymo_chunk chunk) {
    const int64_t from_ticks = asymo_now_ticks(), begin = t->loop->first_unit + chunk.begin, end = t->loop->first_unit + chunk.end;
    atomic_store_explicit(&t->seat->since_ticks, from_ticks, memory_order_relaxed);
    /* Release: pairs with the acquire in is_over, which also sees since_ticks. */
    atomic_store_explicit(&t->seat->holds, asymo_range_make(t->tag, chunk.begin, chunk.end), memory_order_release);
    t->loop->loop.work(t->loop->loop.context, t->seat->index, begin, end);
    if (t->seat->config.slowdown > 1) slow_down(t, begin, end, from_ticks);
    bump(&t->seat->part_units, chunk.end - chunk.begin);
    bump(&t->seat->part_ticks, asymo_now_ticks() - from_ticks);
}

/* Takes a chunk of an interval and computes it. */
static bool take(const taker *t, int64_t interval, const asymo_share *owner, asymo_range_rule *rule) {
    _Atomic uint64_t *range = &t->seats[interval].range;
    const int64_t left = asymo_range_size(atomic_load_explicit(range, memory_order_relaxed));
    if (left == 0) return false;
    const double part = asymo_share_part(t->loop->policy, t->share, owner, left, t->loop->loop.units);
    asymo_chunk chunk;
    /* Before the range changes, whose release publishes this: who finds the range empty must not take us for empty-handed. */
    atomic_store_explicit(&t->seat->holds, HOLDS_UNKNOWN, memory_order_relaxed);
    const bool taken = asymo_range_take(range, t->tag, rule, part, t->share->chunk, &chunk);
    if (taken) compute(t, chunk);
    /* Release: pairs with the acquire in is_over: who sees that we hold nothing sees what we have computed. */
    atomic_store_explicit(&t->seat->holds, HOLDS_NOTHING, memory_order_release);
    return taken;
}

/* Units that nobody has taken yet. Acquire: pairs with the release in asymo_range_take. */
static int64_t units_left(const taker *t) {
    int64_t left = 0;
    for (int64_t i = 0; i < t->loop->n_intervals; i++) {
        const uint64_t range = atomic_load_explicit(&t->seats[i].range, memory_order_acquire);
        if (asymo_range_tag(range) == t->tag) left += asymo_range_size(range);
    }
    return left;
}

/* Whether this worker should leave the rest to faster ones. The caller never does, so that what is left is computed for sure. */
static bool leaves(const taker *t) {
    if (t->is_caller || t->loop->policy != ASYMO_POLICY_GUIDED || t->share->n_faster == 0) return false;
    const uint64_t own = atomic_load_explicit(&t->seats[t->share->interval].range, memory_order_relaxed);
    if (!asymo_share_leaves(t->share, t->share->chunk, asymo_range_size(own))) return false;
    return asymo_share_leaves(t->share, t->share->chunk, units_left(t));
}

/* The owner of the fullest interval of another group; workers of our own type go first. NULL when all are empty. */
static const asymo_share *victim_of(const taker *t) {
    const asymo_share *victim = NULL;
    int64_t most = 0;
    bool same = false;
    for (int64_t i = 0; i < t->loop->n; i += t->loop->shares[i].sharers) {
        const asymo_share *owner = &t->loop->shares[i];
        const bool is_same = owner->type == t->share->type;
        if (owner->interval == t->share->interval || (same && !is_same)) continue;
        /* Acquire: as in units_left. */
        const uint64_t range = atomic_load_explicit(&t->seats[owner->interval].range, memory_order_acquire);
        const int64_t left = asymo_range_tag(range) == t->tag ? asymo_range_size(range) : 0;
        if (left == 0 || (left <= most && same == is_same)) continue;
        victim = owner;
        most = left;
        same = is_same;
    }
    return victim;
}

/* Computes chunks until nothing is left, or nothing for this worker: of its own interval, then of the others'. */
static void drain(const taker *t) {
    pool_counters *counters = &t->seat->counters;
    while (!leaves(t) && take(t, t->share->interval, t->share, asymo_range_claim)) bump(&counters->claims, 1);
    if (!asymo_share_steals(t->loop->policy)) return;
    for (const asymo_share *victim; !leaves(t) && (victim = victim_of(t)) != NULL;) {
        if (!take(t, victim->interval, victim, asymo_range_steal)) continue;
        bump(victim->type == t->share->type  ? &counters->steals_same
             : victim->type < t->share->type ? &counters->steals_from_faster
                                             : &counters->steals_from_slower,
             1);
    }
}

static void take_part(pool_seat *seat, uint64_t call) {
    asymo_pool *pool = seat->pool;
    const uint64_t serial = serial_of(call);
    const pool_loop *loop = loop_of(pool, serial);
    const taker t = {pool->seats, seat, loop, &loop->shares[loop->first[seat->config.type] + seat->rank], tag_of(serial), seat->index == 0};
    atomic_store_explicit(&seat->part_units, 0, memory_order_relaxed);
    atomic_store_explicit(&seat->part_ticks, 0, memory_order_relaxed);
    atomic_store_explicit(&seat->part_of, call, memory_order_relaxed);
    drain(&t);
    bump(&seat->counters.steps, 1);
    bump(&seat->counters.units, atomic_load_explicit(&seat->part_units, memory_order_relaxed));
}

/* ---- the worker's side ------------------------------------------------------------------------------------------------------- */

/* Release: pairs with the acquire in pool_await, so the caller sees what the units wrote. */
void pool_stand_up(pool_seat *seat) {
    const uint32_t was = atomic_exchange_explicit(&seat->state, IDLE, memory_order_release);
    if ((was & 3) == WATCHED) asymo_park_wake(&seat->state);
}

/* Waits for a call to this worker other than the one it has answered. The acquire pairs with the release in open_loop. */
static uint64_t await_call(pool_seat *seat, uint64_t answered) {
    asymo_pool *pool = seat->pool;
    asymo_spin spin = {0};
    for (;;) {
        uint64_t call = atomic_load_explicit(&pool->call, memory_order_acquire);
        if (call != answered && is_called(call, seat)) return call;
        if (asymo_spin_more(&spin, atomic_load_explicit(&pool->spin_ns, memory_order_relaxed))) continue;
        /* Sequentially consistent with open_loop: either it sees ASLEEP and wakes us, or we see its call here. */
        atomic_exchange_explicit(&seat->state, ASLEEP, memory_order_seq_cst);
        call = atomic_load_explicit(&pool->call, memory_order_seq_cst);
        if (call == answered || !is_called(call, seat)) asymo_park_wait(&seat->state, ASLEEP);
        uint32_t asleep = ASLEEP; /* unless the caller has done it already */
        atomic_compare_exchange_strong_explicit(&seat->state, &asleep, IDLE, memory_order_relaxed, memory_order_relaxed);
        spin = (asymo_spin){0};
    }
}

void pool_serve(pool_seat *seat) {
    asymo_pool *pool = seat->pool;
    for (uint64_t call = 0;;) {
        call = await_call(seat, call);
        const int64_t begin_ticks = asymo_now_ticks();
        /* Sequentially consistent with close_loop: either it sees BUSY and looks what we hold, or we see that the call is over. */
        atomic_exchange_explicit(&seat->state, busy_in(serial_of(call)), memory_order_seq_cst);
        const bool is_current = atomic_load_explicit(&pool->call, memory_order_seq_cst) == call;
        const bool is_last = is_current && loop_of(pool, serial_of(call))->loop.work == NULL;
        if (is_current && !is_last) take_part(seat, call);
        pool_stand_up(seat);
        if (is_last) return;
        bump(&seat->counters.busy_ticks, asymo_now_ticks() - begin_ticks);
    }
}

/* ---- the caller's side: stragglers -------------------------------------------------------------------------------------------- */

void pool_await(pool_seat *seat, uint32_t busy, int64_t spin_ns) {
    const uint32_t watched = (busy & ~3u) | WATCHED;
    asymo_spin spin = {0};
    for (;;) {
        /* Acquire: pairs with the release in pool_stand_up. */
        uint32_t state = atomic_load_explicit(&seat->state, memory_order_acquire);
        if (state != busy && state != watched) return;
        if (asymo_spin_more(&spin, spin_ns)) continue;
        if (state == watched ||
            atomic_compare_exchange_strong_explicit(&seat->state, &state, watched, memory_order_relaxed, memory_order_relaxed))
            asymo_park_wait(&seat->state, watched);
    }
}

static int64_t caller_spin_ns(const asymo_pool *pool) {
    return pool->crowded ? 0 : atomic_load_explicit(&pool->most_spin_ns, memory_order_relaxed);
}

static void leave_behind(asymo_pool *pool, pool_seat *seat, uint64_t serial, bool holds, int64_t horizon) {
    pool->n_strays += !seat->strays;
    seat->strays = true;
    seat->stray_holds = holds;
    seat->stray_serial = serial;
    seat->stray_horizon = horizon;
}

/* Strikes a straggler off the list when it has come back, or waits until it has. */
static void look_for(asymo_pool *pool, pool_seat *seat, bool waits) {
    const uint32_t busy = busy_in(seat->stray_serial);
    if (waits) pool_await(seat, busy, caller_spin_ns(pool));
    const uint32_t state = atomic_load_explicit(&seat->state, memory_order_acquire);
    if (state == busy || state == ((busy & ~3u) | WATCHED)) return;
    seat->strays = false;
    pool->n_strays--;
}

void pool_gather(asymo_pool *pool, bool all) {
    for (int64_t i = 1; pool->n_strays > 0 && i < pool->n_workers; i++)
        if (pool->seats[i].strays) look_for(pool, &pool->seats[i], all || pool->seats[i].stray_holds);
}

void asymo_pool_settle(asymo_pool *pool, int64_t step) {
    for (int64_t i = 1; pool->n_strays > 0 && i < pool->n_workers; i++) {
        pool_seat *seat = &pool->seats[i];
        if (seat->strays) look_for(pool, seat, seat->stray_holds && seat->stray_horizon <= step);
    }
}

/* ---- the caller's side: one loop ---------------------------------------------------------------------------------------------- */

/* Who of each type takes part: as planned, as far as this run's crew goes, and no more than there are smallest chunks. Returns how many in
 * all, 1 for a serial loop. */
static int64_t crew_of(const asymo_pool *pool, const asymo_loop *loop, int64_t cores[ASYMO_MAX_TYPES]) {
    const bool only_big = pool->crew == ASYMO_CREW_BIG || atomic_load_explicit(&pool->policy, memory_order_relaxed) == ASYMO_POLICY_BIG;
    int64_t n = 0;
    if (pool->crew == ASYMO_CREW_ALONE) return 1;
    for (int64_t type = 0; type < ASYMO_MAX_TYPES; type++) {
        const int64_t there = pool->type_first[type + 1] - pool->type_first[type];
        const int64_t wanted = type > 0 && only_big ? 0 : loop->sharing->cores[type];
        const int64_t room = loop->units / ASYMO_MAX(loop->sharing->chunk[type], 1);
        cores[type] = ASYMO_MIN(ASYMO_MIN(wanted, there), ASYMO_MAX(room - n, 0));
        n += cores[type];
    }
    const int32_t own = pool->seats[0].config.type;
    if (n > 0 && cores[own] == 0) {
        cores[own] = 1;
        n++;
    }
    return ASYMO_MAX(n, 1);
}

static pool_seat *seat_of(const asymo_pool *pool, int64_t type, int64_t rank) { return &pool->seats[pool->type_first[type] + rank]; }

static double planned_cost(const asymo_loop *loop, int64_t type) {
    return loop->sharing->unit_ns[type] > 0 ? loop->sharing->unit_ns[type] : 1;
}

/* What a unit costs worker `index`: in ticks as learned, or as planned where worker 0 has not learned anything either. */
static double cost_of(const asymo_loop *loop, const pool_seat *seats, int64_t index) {
    const double planned = planned_cost(loop, seats[index].config.type);
    if (index >= loop->n_learned) return planned;
    const float used = atomic_load_explicit(&loop->learned[index].used, memory_order_relaxed);
    if (used > 0) return (double)used;
    const float first = atomic_load_explicit(&loop->learned[0].used, memory_order_relaxed);
    return first > 0 ? planned * (double)first / planned_cost(loop, seats[0].config.type) : planned;
}

/* Writes the loop of the next serial: who takes part, and which units are whose. */
static void fill_loop(asymo_pool *pool, pool_loop *open, uint64_t serial, const asymo_loop *loop, const int64_t *cores) {
    open->loop = *loop;
    open->policy = atomic_load_explicit(&pool->policy, memory_order_relaxed);
    if (open->policy == ASYMO_POLICY_BIG) open->policy = ASYMO_POLICY_GUIDED; /* with the crew that crew_of chose */
    open->n = 0;
    for (int32_t type = 0; type < ASYMO_MAX_TYPES; type++) {
        open->first[type] = open->n;
        for (int64_t rank = 0; rank < cores[type]; rank++) {
            const pool_seat *seat = seat_of(pool, type, rank);
            open->shares[open->n++] = (asymo_share){
                .type = type,
                .group = seat->config.group,
                .chunk = ASYMO_MAX(loop->sharing->chunk[type], 1),
                .cost = cost_of(loop, pool->seats, seat->index),
                .usual = planned_cost(loop, type),
            };
        }
    }
    open->n_intervals = asymo_share_cut(open->policy, loop->units, open->shares, open->n, pool->ends);
    for (int64_t i = 0, begin = 0; i < open->n_intervals; begin = pool->ends[i++])
        atomic_store_explicit(&pool->seats[i].range, asymo_range_make(tag_of(serial), begin, pool->ends[i]), memory_order_relaxed);
    open->opened_ticks = asymo_now_ticks();
}

/* Publishes what was written before, calls the workers, and wakes those of them that sleep. */
static uint64_t open_loop(asymo_pool *pool, uint64_t serial, const int64_t *cores) {
    uint64_t call = serial << SERIAL_SHIFT;
    for (int64_t type = 0; type < ASYMO_MAX_TYPES; type++) call |= (uint64_t)cores[type] << TYPE_BITS * type;
    atomic_exchange_explicit(&pool->call, call, memory_order_seq_cst);
    for (int64_t type = 0; type < ASYMO_MAX_TYPES; type++)
        for (int64_t rank = 0; rank < cores[type]; rank++) {
            pool_seat *seat = seat_of(pool, type, rank);
            uint32_t state = atomic_load_explicit(&seat->state, memory_order_seq_cst);
            if (state == ASLEEP &&
                atomic_compare_exchange_strong_explicit(&seat->state, &state, IDLE, memory_order_relaxed, memory_order_relaxed))
                asymo_park_wake(&seat->state);
        }
    return call;
}

/* Computes again what a straggler holds, until it is done or the straggler is. */
static void rescue(const taker *t, pool_seat *straggler, uint64_t held) {
    const asymo_loop *loop = &t->loop->loop;
    const int64_t piece = t->share->chunk;
    for (int64_t end = asymo_range_end(held), begin = asymo_range_begin(held); end > begin; end -= piece) {
        if (atomic_load_explicit(&straggler->holds, memory_order_acquire) != held) return;
        const int64_t from = ASYMO_MAX(end - piece, begin);
        loop->work(loop->context, 0, t->loop->first_unit + from, t->loop->first_unit + end);
    }
    bump(&t->seat->counters.rescues, 1);
}

/* Whether to rescue what a worker holds: by what a unit costs the caller now, and by what it should cost the worker as planned, so that a
 * core which is often interrupted is not taken for a slow one. */
static bool is_late(const taker *t, const pool_seat *worker, uint64_t held) {
    const int64_t done = atomic_load_explicit(&t->seat->part_units, memory_order_relaxed);
    if (done == 0) return false;
    const int64_t since = atomic_load_explicit(&worker->since_ticks, memory_order_relaxed);
    const int64_t took = atomic_load_explicit(&t->seat->part_ticks, memory_order_relaxed);
    const double redo = (double)took / (double)done * (double)asymo_range_size(held);
    const double ratio = planned_cost(&t->loop->loop, worker->config.type) / planned_cost(&t->loop->loop, t->seat->config.type);
    return asymo_share_redoes((double)(asymo_now_ticks() - since), redo * ratio, redo);
}

/* Whether a worker that was called has nothing more to do with the loop, all of whose units are taken. Leaves it behind if it is BUSY. */
static bool is_over(const taker *t, asymo_pool *pool, pool_seat *seat, uint64_t serial, bool may_rescue) {
    const uint32_t busy = busy_in(serial);
    /* Sequentially consistent for the sake of pool_serve: after the call was withdrawn. */
    if (atomic_load_explicit(&seat->state, memory_order_seq_cst) != busy) return true;
    const uint64_t held = atomic_load_explicit(&seat->holds, memory_order_acquire);
    if (held == HOLDS_UNKNOWN) return false;
    if (held == HOLDS_NOTHING) { /* and takes nothing more: the ranges are empty */
        leave_behind(pool, seat, serial, false, 0);
        return true;
    }
    if (!may_rescue || !is_late(t, seat, held)) return false;
    rescue(t, seat, held);
    leave_behind(pool, seat, serial, true, t->loop->loop.sharing->horizon);
    return true;
}

/* Withdraws the call and waits until all units are computed. */
static void close_loop(asymo_pool *pool, const taker *t, uint64_t call) {
    /* Where nobody steals, everybody must come. Else nothing is left, and this is what is_over may rely on: see asymo_range_take. */
    for (asymo_spin spin = {0}; units_left(t) > 0;)
        if (!asymo_spin_more(&spin, caller_spin_ns(pool))) sched_yield();
    const uint64_t serial = serial_of(call);
    atomic_exchange_explicit(&pool->call, serial << SERIAL_SHIFT, memory_order_seq_cst);
    const bool may_rescue = t->loop->loop.repeatable && t->loop->policy == ASYMO_POLICY_GUIDED && !pool->crowded;
    const int64_t spin_ns = caller_spin_ns(pool);
    for (int64_t type = 0; type < ASYMO_MAX_TYPES; type++)
        for (int64_t rank = 0; rank < called_of(call, (int32_t)type); rank++) {
            pool_seat *seat = seat_of(pool, type, rank);
            asymo_spin spin = {0};
            while (seat->index != 0 && !is_over(t, pool, seat, serial, may_rescue)) {
                if (asymo_spin_more(&spin, spin_ns)) continue;
                if (may_rescue)
                    sched_yield(); /* the worker may be waiting for this very CPU */
                else
                    pool_await(seat, busy_in(serial), 0);
            }
        }
}

/* What worker `index` of a loop's crew is remembered by. */
static asymo_learned *learned_of(const asymo_pool *pool, const pool_loop *open, int64_t i) {
    const int32_t type = open->shares[i].type;
    return &open->loop.learned[seat_of(pool, type, i - open->first[type])->index];
}

/* What a unit has cost a worker in this loop, in ticks; 0 if it has not computed any. A straggler counts as if it finished now. */
static double sample_of(const pool_seat *seat, uint64_t call) {
    if (atomic_load_explicit(&seat->part_of, memory_order_relaxed) != call) return 0;
    int64_t units = atomic_load_explicit(&seat->part_units, memory_order_relaxed);
    int64_t ticks = atomic_load_explicit(&seat->part_ticks, memory_order_relaxed);
    if (seat->strays && seat->stray_holds) {
        const uint64_t held = atomic_load_explicit(&seat->holds, memory_order_relaxed);
        units += held > HOLDS_UNKNOWN ? asymo_range_size(held) : 0;
        ticks += held > HOLDS_UNKNOWN ? asymo_now_ticks() - atomic_load_explicit(&seat->since_ticks, memory_order_relaxed) : 0;
    }
    return units > 0 ? (double)ticks / (double)units : 0;
}

/* Learns from a loop how fast its workers are. The shares follow when one of them would change by a tenth. */
static void learn(const asymo_pool *pool, const pool_loop *open, uint64_t call) {
    const double weight = 0.25, most = 16, own = sample_of(&pool->seats[0], call);
    double used_speed = 0, seen_speed = 0;
    for (int64_t i = 0; i < open->n; i++) {
        const asymo_share *share = &open->shares[i];
        _Atomic float *known = &learned_of(pool, open, i)->seen;
        double seen = (double)atomic_load_explicit(known, memory_order_relaxed);
        if (seen == 0) seen = own * planned_cost(&open->loop, share->type) / planned_cost(&open->loop, open->shares[0].type);
        if (seen == 0) return;
        const double sample = sample_of(seat_of(pool, share->type, i - open->first[share->type]), call);
        if (sample > 0) seen += weight * (ASYMO_MIN(sample, most * seen) - seen);
        atomic_store_explicit(known, (float)seen, memory_order_relaxed);
        used_speed += 1 / share->cost;
        seen_speed += 1 / seen;
    }
    bool adopts = atomic_load_explicit(&learned_of(pool, open, 0)->used, memory_order_relaxed) == 0;
    for (int64_t i = 0; i < open->n; i++) {
        const double used = 1 / open->shares[i].cost / used_speed;
        const double seen = 1 / (double)atomic_load_explicit(&learned_of(pool, open, i)->seen, memory_order_relaxed) / seen_speed;
        adopts |= seen > 1.1 * used || seen < 0.9 * used;
    }
    for (int64_t i = 0; adopts && i < open->n; i++) {
        asymo_learned *learned = learned_of(pool, open, i);
        atomic_store_explicit(&learned->used, atomic_load_explicit(&learned->seen, memory_order_relaxed), memory_order_relaxed);
    }
}

/* The next serial, whose place in the ring nobody is in any more. */
static uint64_t next_serial(asymo_pool *pool) {
    const uint64_t last = UINT64_MAX >> SERIAL_SHIFT;
    const uint64_t serial = (serial_of(atomic_load_explicit(&pool->call, memory_order_relaxed)) + 1) & last;
    for (int64_t i = 1; pool->n_strays > 0 && i < pool->n_workers; i++) {
        pool_seat *seat = &pool->seats[i];
        if (seat->strays) look_for(pool, seat, ((serial - seat->stray_serial) & last) >= ASYMO_POOL_AHEAD);
    }
    return serial;
}

static void run_alone(asymo_pool *pool, const asymo_loop *loop, int64_t first_unit) {
    pool_seat *seat = &pool->seats[0];
    const int64_t from_ticks = asymo_now_ticks();
    loop->work(loop->context, 0, first_unit, loop->units);
    if (seat->config.slowdown > 1) {
        const pool_loop alone = {.loop = *loop};
        slow_down(&(taker){.seat = seat, .loop = &alone}, first_unit, loop->units, from_ticks);
    }
    bump(&seat->counters.steps, 1);
    bump(&seat->counters.units, loop->units - first_unit);
}

static void run_shared(asymo_pool *pool, const asymo_loop *loop, int64_t first_unit, const int64_t *cores) {
    const uint64_t serial = next_serial(pool);
    pool_loop *open = loop_of(pool, serial);
    open->first_unit = first_unit;
    fill_loop(pool, open, serial, loop, cores);
    const int64_t spin_ns = loop->sharing->spin_ns, most_ns = caller_spin_ns(pool);
    atomic_store_explicit(&pool->spin_ns, spin_ns < 0 ? most_ns : ASYMO_MIN(spin_ns, most_ns), memory_order_relaxed);
    const uint64_t call = open_loop(pool, serial, cores);
    pool_seat *seat = &pool->seats[0];
    const taker t = {pool->seats, seat, open, &open->shares[open->first[seat->config.type]], tag_of(serial), true};
    take_part(seat, call);
    const int64_t from_ticks = asymo_now_ticks();
    close_loop(pool, &t, call);
    bump(&pool->caller_wait_ticks, asymo_now_ticks() - from_ticks);
    if (pool->n_workers <= loop->n_learned && open->policy == ASYMO_POLICY_GUIDED) learn(pool, open, call);
}

void asymo_pool_for(asymo_pool *pool, const asymo_loop *loop) {
    pool_keep_place(pool);
    asymo_loop piece = *loop;
    for (int64_t first = 0; first < loop->units; first += ASYMO_RANGE_MAX_UNITS) {
        int64_t cores[ASYMO_MAX_TYPES];
        piece.units = ASYMO_MIN(loop->units - first, ASYMO_RANGE_MAX_UNITS);
        if (crew_of(pool, &piece, cores) > 1) {
            run_shared(pool, &piece, first, cores);
        } else {
            run_alone(pool, loop, first);
            return;
        }
    }
}

void pool_dismiss(asymo_pool *pool) {
    pool_gather(pool, true);
    const uint64_t serial = next_serial(pool);
    loop_of(pool, serial)->loop.work = NULL;
    int64_t cores[ASYMO_MAX_TYPES];
    for (int64_t type = 0; type < ASYMO_MAX_TYPES; type++) cores[type] = pool->type_first[type + 1] - pool->type_first[type];
    open_loop(pool, serial, cores);
}
