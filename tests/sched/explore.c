/* explore.c: walks every interleaving of a small model of csrc/sched (and of what exec/program.c asks of it).
 *
 * One transition is one access to shared memory. Memory is sequentially consistent, or (tso) each thread's stores wait in a queue of its
 * own until some later transition, and only read-modify-writes and system calls wait for the queue to be empty: what x86 does, and what a
 * release store without seq_cst may do anywhere. The model computes chunks with the very functions of range.h.
 *
 *   here                          there
 *   A_CALL ... A_AWAKE            loop.c await_call, park_futex.c
 *   B_BUSY, B_CALL                loop.c pool_serve, up to take_part
 *   T_LOOK ... T_NOTHING          loop.c drain: leaves, victim_of, take, compute; range.h asymo_range_take
 *   U_STAND, U_WAKE               loop.c pool_stand_up
 *   W_STATE ... W_ASLEEP          loop.c pool_await, look_for
 *   C_SETTLE, C_CONTEXT           loop.c asymo_pool_settle, program.c run_steps
 *   C_SERIAL, C_LOOP, C_RANGES    loop.c next_serial, fill_loop
 *   C_OPEN, C_WHO, C_GIVE, C_WAKE loop.c open_loop
 *   C_LEFT, C_CLOSE               loop.c close_loop, units_left
 *   C_OVER, C_HELD, C_RESCUE      loop.c is_over, rescue, leave_behind
 *   C_LEAVE                       pool.c asymo_pool_leave
 *   C_GATHER, C_JOIN              loop.c pool_dismiss, pool.c asymo_pool_destroy
 *
 * Left to chance: when a worker leaves the rest to faster ones, when a chunk is late, when a spin is given up. A spinning thread does not
 * move. Checked: what `fail` says below, and that the end can be reached from every state, so nobody sleeps or waits for ever.
 *
 * `explore CONFIGURATION [MUTATION]` prints the number of states, or what is wrong with a shortest trace to it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../csrc/sched/range.h"

enum { WORKERS = 3, LOOPS = 4, RING = 3, QUEUE = 5 };

/* ---- what is explored -------------------------------------------------------------------------------------------------------- */

typedef struct {
    int units, called; /* workers, the caller among them; 0: a serial step */
    bool repeatable, steals;
    int horizon;
    bool leaves; /* the run ends after it */
} loop_config;

static const struct {
    const char *name;
    int workers, ring;
    bool tso;
    loop_config loops[LOOPS];
} configs[] = {
    {"rescue", 2, 2, false, {{3, 2, true, true, 2, 0}, {2, 2, true, true, 3, 0}, {2, 2, false, true, 0, 0}}},
    {"runs", 2, 2, false, {{2, 2, true, true, 9, 1}, {2, 2, true, true, 9, 1}, {2, 2, true, true, 9, 0}}},
    {"static", 2, 2, false, {{2, 2, false, false, 0, 0}, {4, 2, false, false, 0, 0}, {2, 2, false, true, 0, 0}}},
    {"serial", 2, 2, false, {{2, 2, true, true, 9, 0}, {2, 0, true, true, 9, 0}, {2, 0, true, true, 9, 0}, {2, 2, true, true, 9, 0}}},
    {"horizon", 2, 3, false, {{3, 2, true, true, 2, 0}, {2, 2, true, true, 9, 0}, {2, 0, true, true, 9, 0}}},
    {"ring", 2, 1, false, {{3, 2, true, true, 9, 0}, {3, 2, true, true, 9, 0}, {3, 2, true, true, 9, 0}}},
    {"tso", 2, 1, true, {{2, 2, true, true, 2, 0}, {2, 2, true, true, 9, 0}}},
    {"tso-static", 2, 1, true, {{2, 2, false, false, 0, 0}, {2, 2, false, false, 0, 0}}},
    {"three", 3, 1, false, {{2, 3, true, true, 9, 0}, {2, 3, false, true, 9, 0}}},
    {"three-units", 3, 1, false, {{3, 3, true, true, 9, 0}, {3, 3, false, true, 9, 0}}},
    {"three-apart", 3, 2, false, {{3, 3, true, true, 2, 0}, {2, 2, true, true, 9, 0}, {3, 3, true, true, 9, 0}}},
    {"tso-more", 2, 2, true, {{3, 2, true, true, 2, 0}, {2, 2, true, true, 9, 1}, {3, 2, false, true, 0, 0}}},
    {"tso-three", 3, 1, true, {{3, 3, true, true, 9, 0}, {2, 3, false, true, 9, 0}}},
};
static int workers, ring, n_loops;
static bool tso;
static loop_config loops[LOOPS + 1];
static int step_of[LOOPS + 2]; /* of a serial */

enum {
    NONE,
    NO_CALL_CHECK,   /* BUSY, and straight on into the loop */
    NO_TAG,          /* the intervals of all loops look alike */
    HOLDS_TOO_LATE,  /* UNKNOWN is not published before the interval shrinks */
    NO_HORIZON,      /* stragglers are not waited for where their memory is written */
    NO_RING_WAIT,    /* nor where their loop's description is */
    NO_CONTEXT_WAIT, /* nor where their step's context is */
    NO_LEAVE_WAIT,   /* nor at the end of a run */
    NO_SLEEP_CHECK,  /* ASLEEP, and straight to sleep */
    NO_WATCH_CHECK,  /* BUSY -> WATCHED is a store */
    RESCUES_ALL,     /* also what may not be computed again */
    OPEN_STORE,      /* release stores for exchanges */
    CLOSE_STORE,
    BUSY_STORE,
    ASLEEP_STORE,
};
static const char *const mutations[] = {
    "none",           "no-call-check",  "no-tag",      "holds-too-late", "no-horizon",  "no-ring-wait", "no-context-wait", "no-leave-wait",
    "no-sleep-check", "no-watch-check", "rescues-all", "open-store",     "close-store", "busy-store",   "asleep-store",
};
static int mutation;

/* ---- a state ------------------------------------------------------------------------------------------------------------------ */

/* Shared memory. Values have 11 bits. */
enum {
    CALL,                    /* serial << 1 | open */
    STATE,                   /* serial << 2 | what */
    HOLDS = STATE + WORKERS, /* NOTHING, UNKNOWN, or range << 2 | 2 */
    RANGE = HOLDS + WORKERS, /* tag << 6 | end << 3 | begin */
    LOOP = RANGE + WORKERS,  /* the serial that is described there, or GOODBYE */
    DATA = LOOP + RING,      /* units of a step that somebody has computed; stores add to it */
    CELLS = DATA + LOOPS,
};
enum { IDLE, BUSY, WATCHED, ASLEEP };
enum { NOTHING, UNKNOWN };
enum { GOODBYE = 7 };

/* clang-format off */
#define PLACES(X) \
    X(A_CALL) X(A_SLEEP) X(A_CHECK) X(A_WAIT) X(A_ASLEEP) X(A_AWAKE) X(B_BUSY) X(B_CALL) \
    X(T_LOOK) X(T_UNKNOWN) X(T_SEE) X(T_CAS) X(T_EMPTY) X(T_HOLD) X(T_WORK) X(T_NOTHING) \
    X(U_STAND) X(U_WAKE) X(GONE) X(W_STATE) X(W_WATCH) X(W_WAIT) X(W_ASLEEP) \
    X(C_SETTLE) X(C_CONTEXT) X(C_SERIAL) X(C_LOOP) X(C_RANGES) X(C_OPEN) X(C_WHO) X(C_GIVE) X(C_WAKE) X(C_LEFT) X(C_CLOSE) \
    X(C_OVER) X(C_HELD) X(C_RESCUE) X(C_RETURN) X(C_LEAVE) X(C_GATHER) X(C_JOIN) X(C_END)
/* clang-format on */
#define NAME(PLACE) PLACE,
enum { PLACES(NAME) };
#undef NAME
#define NAME(PLACE) #PLACE,
static const char *const place_names[] = {PLACES(NAME)};

typedef struct {
    uint16_t seen; /* an interval, or what a straggler holds */
    uint8_t place, serial, at, begin, end;
    uint8_t answered; /* workers: the call */
    bool last;        /* workers: goes after this */
} thread;

typedef struct {
    uint16_t cells[CELLS];
    uint16_t queues[WORKERS][QUEUE]; /* cell << 11 | value, oldest first */
    uint8_t queued[WORKERS];
    thread threads[WORKERS];
    struct {
        bool strays, holds;
        uint8_t serial, horizon;
    } left[WORKERS];
    uint8_t step, back; /* the caller's: its step; where it goes on when it has looked for a straggler */
    bool waits;
    uint8_t settled;     /* steps whose memory belongs to others now: nobody may compute them any more */
    uint8_t done[LOOPS]; /* units that were computed, rescues aside */
} state;

static const char *wrong;
static void fail(const char *what) { wrong = wrong ? wrong : what; }

static uint16_t busy_in(int serial) { return (uint16_t)(serial << 2 | BUSY); }
static uint16_t watched_in(int serial) { return (uint16_t)(serial << 2 | WATCHED); }
static int tag_of(int serial) { return mutation == NO_TAG ? 0 : serial; }
static uint16_t packed(int tag, int begin, int end) { return (uint16_t)(tag << 6 | end << 3 | begin); }
static uint64_t word(uint16_t range) { return asymo_range_make(range >> 6, range & 7, range >> 3 & 7); }
static bool is_called(int call, int t) { return (call & 1) && t < loops[step_of[call >> 1]].called; }

static void store_now(state *s, int t, int cell, int value) {
    if (cell < DATA) {
        s->cells[cell] = (uint16_t)value;
        return;
    }
    if (t > 0 && s->settled >> (cell - DATA) & 1) fail("memory is written after the horizon, or after the run");
    s->cells[cell] |= (uint16_t)value;
}

static int load(const state *s, int t, int cell) {
    for (int i = s->queued[t]; i-- > 0;)
        if (s->queues[t][i] >> 11 == cell) return s->queues[t][i] & 0x7ff;
    return s->cells[cell];
}

/* False: not now, the queue is full. */
static bool store(state *s, int t, int cell, int value) {
    if (!tso) {
        store_now(s, t, cell, value);
        return true;
    }
    if (s->queued[t] == QUEUE) return false;
    s->queues[t][s->queued[t]++] = (uint16_t)(cell << 11 | value);
    return true;
}

static bool is_fenced(const state *s, int t) { return s->queued[t] == 0; }

/* An exchange, or a release store in its place. */
static bool exchange(state *s, int t, int cell, int value, bool mutated) {
    if (mutated) return store(s, t, cell, value);
    if (is_fenced(s, t)) store_now(s, t, cell, value);
    return is_fenced(s, t);
}

/* ---- transitions: false where thread t cannot move, or not with this choice ----------------------------------------------------- */

/* The first interval of others from this one on. */
static uint8_t of_others(int t, int from) { return (uint8_t)(from == t ? from + 1 : from); }

static bool serve(state *s, int t, int choice) {
    thread *me = &s->threads[t];
    if (choice) return false;
    switch (me->place) {
    case A_CALL: {
        const int call = load(s, t, CALL);
        const bool mine = call != me->answered && is_called(call, t);
        if (mine) me->answered = (uint8_t)call;
        me->place = mine ? B_BUSY : A_SLEEP;
        return true;
    }
    case A_SLEEP:
        me->place = mutation == NO_SLEEP_CHECK ? A_WAIT : A_CHECK;
        return exchange(s, t, STATE + t, ASLEEP, mutation == ASLEEP_STORE);
    case A_CHECK: {
        const int call = load(s, t, CALL);
        me->place = call == me->answered || !is_called(call, t) ? A_WAIT : A_AWAKE;
        return true;
    }
    case A_WAIT: me->place = s->cells[STATE + t] == ASLEEP ? A_ASLEEP : A_AWAKE; return is_fenced(s, t);
    case A_AWAKE:
        if (s->cells[STATE + t] == ASLEEP) store_now(s, t, STATE + t, IDLE);
        me->place = A_CALL;
        return is_fenced(s, t);
    case B_BUSY: me->place = B_CALL; return exchange(s, t, STATE + t, busy_in(me->answered >> 1), mutation == BUSY_STORE);
    case B_CALL: {
        const int serial = me->answered >> 1;
        me->place = U_STAND;
        if (load(s, t, CALL) != me->answered && mutation != NO_CALL_CHECK) return true;
        const int described = load(s, t, LOOP + serial % ring);
        me->last = described == GOODBYE;
        if (me->last) return true;
        if (described != serial) fail("a worker reads the description of another loop");
        me->place = T_LOOK;
        me->serial = (uint8_t)serial;
        me->at = (uint8_t)t;
        return true;
    }
    case U_STAND:
        me->place = (s->cells[STATE + t] & 3) == WATCHED ? U_WAKE : me->last ? GONE : A_CALL;
        me->serial = me->at = 0;
        return exchange(s, t, STATE + t, IDLE, false);
    case U_WAKE:
        if (s->threads[0].place == W_ASLEEP && s->threads[0].at == t) s->threads[0].place = W_STATE;
        me->place = me->last ? GONE : A_CALL;
        return is_fenced(s, t);
    }
    return false;
}

static bool finds_units(const thread *me, int range) {
    return range >> 6 == tag_of(me->serial) && asymo_range_size(word((uint16_t)range)) > 0;
}

static bool drain(state *s, int t, int choice) {
    thread *me = &s->threads[t];
    const int step = step_of[me->serial], n = loops[step].called, range = RANGE + me->at;
    const int over = t == 0 ? C_LEFT : U_STAND;
    if (choice && (t == 0 || me->place != T_LOOK)) return false;
    switch (me->place) {
    case T_LOOK:
        if (choice) { /* leaves the rest to others */
            me->place = U_STAND;
            return loops[step].steals;
        }
        if (me->at == t ? asymo_range_size(word((uint16_t)load(s, t, range))) > 0 : finds_units(me, load(s, t, range))) {
            me->place = mutation == HOLDS_TOO_LATE ? T_SEE : T_UNKNOWN;
            return true;
        }
        me->at = of_others(t, me->at == t ? 0 : me->at + 1);
        if (!loops[step].steals || me->at >= n) {
            me->place = (uint8_t)over;
            me->at = 0;
        }
        return true;
    case T_UNKNOWN: me->place = T_SEE; return store(s, t, HOLDS + t, UNKNOWN);
    case T_SEE:
        me->seen = (uint16_t)load(s, t, range);
        me->place = finds_units(me, me->seen) ? T_CAS : T_EMPTY;
        return true;
    case T_CAS: {
        if (!is_fenced(s, t)) return false;
        if (s->cells[range] != me->seen) {
            me->seen = s->cells[range];
            me->place = finds_units(me, me->seen) ? T_CAS : T_EMPTY;
            return true;
        }
        asymo_chunk chunk = {0};
        const uint64_t rest = (me->at == t ? asymo_range_claim : asymo_range_steal)(word(me->seen), 0.5, 1, &chunk);
        store_now(s, t, range, packed((int)asymo_range_tag(rest), (int)asymo_range_begin(rest), (int)asymo_range_end(rest)));
        me->begin = (uint8_t)chunk.begin;
        me->end = (uint8_t)chunk.end;
        me->place = T_HOLD;
        return true;
    }
    case T_EMPTY: /* on to, or once more around, the intervals of others */
        me->seen = 0;
        me->at = of_others(t, 0);
        me->place = T_LOOK;
        if (!loops[step].steals || me->at >= n) {
            me->place = (uint8_t)over;
            me->at = 0;
        }
        return store(s, t, HOLDS + t, NOTHING);
    case T_HOLD:
        me->seen = 0;
        me->place = T_WORK;
        return store(s, t, HOLDS + t, packed(me->serial, me->begin, me->end) << 2 | 2);
    case T_WORK: {
        const int unit = 1 << me->begin;
        if (s->done[step] & unit) fail("a unit is computed twice, and not by a rescue");
        if (s->settled >> step & 1) fail("a unit is computed after the horizon, or after the run");
        s->done[step] |= (uint8_t)unit;
        if (++me->begin == me->end) me->place = T_NOTHING;
        return store(s, t, DATA + step, unit);
    }
    case T_NOTHING:
        me->begin = me->end = 0;
        if (me->at != t) me->at = of_others(t, 0);
        me->place = T_LOOK;
        return store(s, t, HOLDS + t, NOTHING);
    }
    return false;
}

/* Looks for straggler me->at: strikes it off the list when it is back, or waits until it is. */
static bool look_for(state *s, int choice) {
    thread *me = &s->threads[0];
    const int closing = s->back == C_OVER, serial = closing ? me->serial : s->left[me->at].serial;
    const int found = load(s, 0, STATE + me->at);
    switch (me->place) {
    case W_STATE:
        if (choice) return false;
        if (found == busy_in(serial) || found == watched_in(serial)) {
            me->place = !s->waits ? s->back : found == watched_in(serial) ? W_WAIT : W_WATCH;
            me->at += !s->waits;
            return true;
        }
        me->place = s->back;
        if (!closing) memset(&s->left[me->at++], 0, sizeof s->left[0]);
        return true;
    case W_WATCH:
        if (choice || !is_fenced(s, 0)) return false;
        me->place = W_STATE;
        if (s->cells[STATE + me->at] == busy_in(serial) || mutation == NO_WATCH_CHECK) {
            store_now(s, 0, STATE + me->at, watched_in(serial));
            me->place = W_WAIT;
        }
        return true;
    case W_WAIT:
        if (choice || !is_fenced(s, 0)) return false;
        me->place = s->cells[STATE + me->at] == watched_in(serial) ? W_ASLEEP : W_STATE;
        return true;
    }
    return false;
}

/* Whether another straggler is to be looked for, with me->at as the first that may be. */
static bool strays_from(state *s, int place) {
    thread *me = &s->threads[0];
    while (me->at < workers && !s->left[me->at].strays) me->at++;
    if (me->at == workers) return false;
    s->back = (uint8_t)place;
    me->place = W_STATE;
    return true;
}

static void leave_behind(state *s, bool holds) {
    thread *me = &s->threads[0];
    s->left[me->at].strays = true;
    s->left[me->at].holds = holds;
    s->left[me->at].serial = me->serial;
    s->left[me->at].horizon = holds ? (uint8_t)loops[s->step].horizon : 0;
    me->seen = me->begin = me->end = 0;
    me->place = C_OVER;
    me->at++;
}

static void to(thread *me, int place, int at) {
    me->place = (uint8_t)place;
    me->at = (uint8_t)at;
}

static void next_step(state *s) {
    thread *me = &s->threads[0];
    const bool leaves = loops[s->step].leaves || s->step + 1 == n_loops;
    s->step++;
    to(me, leaves ? C_LEAVE : C_SETTLE, 1);
}

static bool lead(state *s, int choice) {
    thread *me = &s->threads[0];
    const loop_config *loop = &loops[s->step];
    const int n = loop->called, slot = LOOP + me->serial % ring;
    if (choice && me->place != C_HELD) return false;
    switch (me->place) {
    case C_SETTLE:
        if (strays_from(s, C_SETTLE)) {
            s->waits = s->left[me->at].holds && s->left[me->at].horizon <= s->step && mutation != NO_HORIZON;
            return true;
        }
        for (int k = 0; k < s->step; k++)
            if (loops[k].horizon <= s->step) s->settled |= (uint8_t)(1 << k);
        me->place = C_CONTEXT;
        return true;
    case C_CONTEXT: /* written at step % ring */
        for (int t = 1; t < workers; t++) {
            const int place = s->threads[t].place, step = step_of[s->threads[t].serial];
            if ((place == T_HOLD || place == T_WORK) && step != s->step && step % ring == s->step % ring)
                fail("the context of a step is written while a worker uses it");
        }
        if (n > 0) {
            to(me, C_SERIAL, 1);
            return true;
        }
        next_step(s);
        return store(s, 0, DATA + s->step - 1, (1 << loop->units) - 1);
    case C_SERIAL:
        if (strays_from(s, C_SERIAL)) {
            s->waits = me->serial + 1 - s->left[me->at].serial >= ring && mutation != NO_RING_WAIT;
            return true;
        }
        me->serial++;
        to(me, C_LOOP, 0);
        return true;
    case C_LOOP:
        for (int t = 1; t < workers; t++) {
            const int place = s->threads[t].place, serial = s->threads[t].serial;
            if (place >= T_LOOK && place <= T_NOTHING && serial % ring == me->serial % ring)
                fail("the description of a loop is written while a worker reads it");
        }
        me->place = s->step == n_loops ? C_OPEN : C_RANGES;
        return store(s, 0, slot, s->step == n_loops ? GOODBYE : me->serial);
    case C_RANGES: {
        const int i = me->at, range = packed(tag_of(me->serial), loop->units * i / n, loop->units * (i + 1) / n);
        to(me, i + 1 == n ? C_OPEN : C_RANGES, i + 1);
        return store(s, 0, RANGE + i, range);
    }
    case C_OPEN: to(me, C_WHO, 1); return exchange(s, 0, CALL, me->serial << 1 | 1, mutation == OPEN_STORE);
    case C_WHO:
        if (me->at < n) {
            if (load(s, 0, STATE + me->at) == ASLEEP)
                me->place = C_GIVE;
            else
                me->at++;
            return true;
        }
        to(me, s->step == n_loops ? C_JOIN : T_LOOK, 0);
        return true;
    case C_GIVE:
        if (!is_fenced(s, 0)) return false;
        if (s->cells[STATE + me->at] == ASLEEP) {
            store_now(s, 0, STATE + me->at, IDLE);
            me->place = C_WAKE;
        } else {
            to(me, C_WHO, me->at + 1);
        }
        return true;
    case C_WAKE:
        if (s->threads[me->at].place == A_ASLEEP) s->threads[me->at].place = A_AWAKE;
        to(me, C_WHO, me->at + 1);
        return is_fenced(s, 0);
    case C_LEFT:
        if (finds_units(me, load(s, 0, RANGE + me->at))) return false;
        to(me, me->at + 1 == n ? C_CLOSE : C_LEFT, me->at + 1);
        return true;
    case C_CLOSE: to(me, C_OVER, 1); return exchange(s, 0, CALL, me->serial << 1, mutation == CLOSE_STORE);
    case C_OVER:
        if (me->at == n) {
            me->place = C_RETURN;
            return true;
        }
        if (load(s, 0, STATE + me->at) == busy_in(me->serial))
            me->place = C_HELD;
        else
            me->at++;
        return true;
    case C_HELD: {
        const int held = load(s, 0, HOLDS + me->at);
        const bool may_rescue = (loop->repeatable && loop->steals) || mutation == RESCUES_ALL;
        if (held == NOTHING) {
            leave_behind(s, false);
            return choice == 0;
        }
        if (held == UNKNOWN || !may_rescue) { /* looks again, or sleeps until the worker has finished */
            s->back = C_OVER;
            s->waits = true;
            me->place = choice ? W_STATE : C_OVER;
            return choice == 0 || !may_rescue;
        }
        me->place = C_OVER;
        if (choice) return true;
        me->place = C_RESCUE;
        me->seen = (uint16_t)held;
        me->begin = held >> 2 & 7;
        me->end = held >> 5 & 7;
        return true;
    }
    case C_RESCUE:
        if (load(s, 0, HOLDS + me->at) != me->seen || me->begin == me->end) {
            leave_behind(s, true);
            return true;
        }
        me->end--;
        return store(s, 0, DATA + s->step, 1 << me->end);
    case C_RETURN: {
        int computed = s->cells[DATA + s->step];
        for (int i = 0; i < s->queued[0]; i++)
            if (s->queues[0][i] >> 11 == DATA + s->step) computed |= s->queues[0][i] & 0x7ff;
        if (computed != (1 << loop->units) - 1) fail("a loop returns before all its units are computed");
        for (int t = 1; t < workers && !loop->repeatable; t++)
            if ((s->threads[t].place == T_HOLD || s->threads[t].place == T_WORK) && s->threads[t].serial == me->serial)
                fail("a loop returns while a chunk is running that may not be computed again");
        next_step(s);
        return true;
    }
    case C_LEAVE:
        if (strays_from(s, C_LEAVE)) {
            s->waits = s->left[me->at].holds && mutation != NO_LEAVE_WAIT;
            return true;
        }
        s->settled = (uint8_t)((1 << s->step) - 1);
        to(me, s->step == n_loops ? C_GATHER : C_SETTLE, 1);
        return true;
    case C_GATHER:
        s->waits = true;
        if (!strays_from(s, C_GATHER)) to(me, C_SERIAL, 1);
        return true;
    case C_JOIN:
        for (int t = 1; t < workers; t++)
            if (s->threads[t].place != GONE) return false;
        me->place = C_END;
        return true;
    }
    return false;
}

static bool move(state *s, int t, int choice) {
    const int place = s->threads[t].place;
    if (place >= T_LOOK && place <= T_NOTHING) return drain(s, t, choice);
    if (t > 0) return serve(s, t, choice);
    return place >= W_STATE && place <= W_ASLEEP ? look_for(s, choice) : lead(s, choice);
}

/* The oldest store of a thread reaches memory. */
static bool flush(state *s, int t) {
    if (s->queued[t] == 0) return false;
    const uint16_t oldest = s->queues[t][0];
    memmove(s->queues[t], s->queues[t] + 1, (QUEUE - 1) * sizeof oldest);
    s->queues[t][QUEUE - 1] = 0;
    s->queued[t]--;
    store_now(s, t, oldest >> 11, oldest & 0x7ff);
    return true;
}

/* ---- the search: breadth first, every state kept ------------------------------------------------------------------------------- */

static state *states;
static uint32_t *parents, *table, *froms, *tos;
static size_t n_states, n_edges, room, edge_room, table_size;

static void *grown(void *memory, size_t bytes) {
    memory = realloc(memory, bytes);
    if (memory == NULL) {
        fprintf(stderr, "no memory\n");
        exit(2);
    }
    return memory;
}

static uint64_t hash_of(const state *s) {
    uint64_t hash = 0x9e3779b97f4a7c15;
    _Static_assert(sizeof *s % 2 == 0, "");
    const unsigned char *bytes = (const unsigned char *)s;
    for (size_t i = 0; i < sizeof *s; i += 2) hash = (hash ^ (bytes[i] | (uint64_t)bytes[i + 1] << 8)) * 0x100000001b3 ^ hash >> 29;
    return hash ^ hash >> 32;
}

static void enlarge_table(void) {
    table_size = table_size ? 2 * table_size : 1 << 16;
    free(table);
    table = grown(NULL, table_size * sizeof *table);
    memset(table, 0xff, table_size * sizeof *table);
    for (size_t i = 0; i < n_states; i++) {
        size_t at = hash_of(&states[i]) & (table_size - 1);
        while (table[at] != UINT32_MAX) at = (at + 1) & (table_size - 1);
        table[at] = (uint32_t)i;
    }
}

/* The number of a state, which may be new. */
static uint32_t number_of(const state *s, size_t from) {
    if (2 * n_states >= table_size) enlarge_table();
    size_t at = hash_of(s) & (table_size - 1);
    for (; table[at] != UINT32_MAX; at = (at + 1) & (table_size - 1))
        if (memcmp(&states[table[at]], s, sizeof *s) == 0) return table[at];
    if (n_states == room) {
        room = room ? 2 * room : 1 << 16;
        states = grown(states, room * sizeof *states);
        parents = grown(parents, room * sizeof *parents);
    }
    states[n_states] = *s;
    parents[n_states] = (uint32_t)from;
    return table[at] = (uint32_t)n_states++;
}

static void print_state(const state *s) {
    for (int t = 0; t < workers; t++) {
        const thread *me = &s->threads[t];
        printf("%s%-9s", t ? " | " : "  ", place_names[me->place]);
        printf(" serial %d at %d [%d,%d) state %d/%d holds %3x", me->serial, me->at, me->begin, me->end, s->cells[STATE + t] >> 2,
               s->cells[STATE + t] & 3, s->cells[HOLDS + t]);
        for (int i = 0; i < s->queued[t]; i++) printf(" %d<-%x", s->queues[t][i] >> 11, s->queues[t][i] & 0x7ff);
    }
    printf(" | call %d%c ranges", s->cells[CALL] >> 1, s->cells[CALL] & 1 ? '+' : '-');
    for (int t = 0; t < workers; t++)
        printf(" %d:[%d,%d)", s->cells[RANGE + t] >> 6, s->cells[RANGE + t] & 7, s->cells[RANGE + t] >> 3 & 7);
    printf(" step %d\n", s->step);
}

/* What is wrong in state `at`, or in the one that follows it. */
static void report(const char *what, size_t at, const state *next) {
    printf("%s\n", what);
    size_t n = 0, *path = NULL;
    for (size_t i = at;; i = parents[i]) {
        path = grown(path, (n + 1) * sizeof *path);
        path[n++] = i;
        if (i == 0) break;
    }
    while (n-- > 0) print_state(&states[path[n]]);
    if (next) print_state(next);
    free(path);
    exit(1);
}

static void add(const state *next, size_t from) {
    const uint32_t to_state = number_of(next, from);
    if (wrong) report(wrong, from, next);
    if (n_edges == edge_room) {
        edge_room = edge_room ? 2 * edge_room : 1 << 16;
        froms = grown(froms, edge_room * sizeof *froms);
        tos = grown(tos, edge_room * sizeof *tos);
    }
    froms[n_edges] = (uint32_t)from;
    tos[n_edges++] = to_state;
}

/* From every state the end can be reached: walks the edges backwards from there. */
static void check_ends(void) {
    size_t *first = calloc(n_states + 1, sizeof *first);
    uint32_t *before = grown(NULL, (n_edges + 1) * sizeof *before), *queue = grown(NULL, n_states * sizeof *queue);
    bool *ends = calloc(n_states, 1);
    if (first == NULL || ends == NULL) exit(2);
    for (size_t i = 0; i < n_edges; i++) first[tos[i]]++;
    for (size_t i = 0, sum = 0; i <= n_states; i++) {
        sum += first[i];
        first[i] = sum;
    }
    for (size_t i = n_edges; i-- > 0;) before[--first[tos[i]]] = froms[i];
    size_t n = 0, n_ends = 0;
    for (size_t i = 0; i < n_states; i++)
        if (states[i].threads[0].place == C_END) {
            ends[i] = true;
            queue[n++] = (uint32_t)i;
        }
    for (; n_ends < n; n_ends++)
        for (size_t e = first[queue[n_ends]]; e < first[queue[n_ends] + 1]; e++)
            if (!ends[before[e]]) {
                ends[before[e]] = true;
                queue[n++] = before[e];
            }
    for (size_t i = 0; i < n_states; i++)
        if (!ends[i]) report("the end cannot be reached any more: somebody waits for ever", i, NULL);
    free(first);
    free(before);
    free(queue);
    free(ends);
}

static void set_up(const char *name) {
    size_t c = 0;
    while (c < sizeof configs / sizeof *configs && strcmp(configs[c].name, name) != 0) c++;
    if (c == sizeof configs / sizeof *configs) {
        fprintf(stderr, "no such configuration: %s\n", name);
        exit(2);
    }
    workers = configs[c].workers;
    ring = configs[c].ring;
    tso = configs[c].tso;
    int serial = 0;
    for (; n_loops < LOOPS && configs[c].loops[n_loops].units > 0; n_loops++) {
        loop_config *loop = &loops[n_loops];
        *loop = configs[c].loops[n_loops];
        if (loop->called) step_of[++serial] = n_loops;
        if (mutation != NO_CONTEXT_WAIT) loop->horizon = ASYMO_MIN(loop->horizon, n_loops + ring);
    }
    step_of[serial + 1] = n_loops;
    loops[n_loops] = (loop_config){.called = workers};
}

int main(int argc, char **argv) {
    if (argc > 2)
        while (strcmp(mutations[mutation], argv[2]) != 0)
            if (++mutation == sizeof mutations / sizeof *mutations) return 2;
    if (argc < 2) return 2;
    set_up(argv[1]);
    state begin;
    memset(&begin, 0, sizeof begin);
    to(&begin.threads[0], C_SETTLE, 1);
    number_of(&begin, 0);
    for (size_t i = 0; i < n_states; i++)
        for (int t = 0; t < workers; t++)
            for (int choice = 0; choice < 3; choice++) {
                state next = states[i];
                wrong = NULL;
                if (choice < 2 ? move(&next, t, choice) : flush(&next, t)) add(&next, i);
            }
    check_ends();
    printf("%zu states, %zu transitions\n", n_states, n_edges);
    return 0;
}
