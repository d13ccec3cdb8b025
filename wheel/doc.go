// Package wheel keeps one deadline for each of very many sessions that are
// touched often and rarely expire. It knows steps, entries and when they are
// due; it knows no session, no socket and no logger.
//
// # Guarantees
//
// For a session last touched at t with a timeout d:
//
//   - Never early: it is handed out at t+d or later.
//   - At most two ticks late, plus what [Config.Rate] holds back and what the
//     process was paused; see [Stats.Paused].
//   - A touch at any moment before the decision keeps it: the deadline is asked
//     for once more right before [Config.Fire].
//   - Cancel is final: Fire is not begun for a cancelled entry. One that has
//     begun may still be running when Cancel returns.
//   - Touch, Add, Reschedule and Cancel are O(1), allocate nothing and may be
//     called from any goroutine, also from Fire. Touch takes no lock.
//   - After Stop has returned nothing is handed out.
//
// # How
//
// Time is counted in steps of half a tick. A touch stores the current step in the
// session (one atomic store, none within the same step) and moves nothing.
// Entries due in the same step form a cohort: an intrusive list, split over
// shards by lock. A cohort has one timer of the RussellLuo wheel. When it fires
// each member is asked for its deadline: later, and it is filed again; due, and it
// is queued for the workers. So an entry moves about once per timeout, however
// often it is touched (lazy re-arming: Varghese and Lauck, "Hashed and
// Hierarchical Timing Wheels", 1987, for the hierarchy; Go's runtime timers for
// the laziness).
//
// Level 0 has a slot for each of the next 63 steps, level 1 a slot for each of
// the next 63 blocks of 64 steps; a block's entries are filed exactly when it
// begins. What is due later waits in the last block and hops.
//
// The engine reads the wall clock, fires early, and can deadlock (its issues 33,
// 53, 54). So a firing only means "look now": whether a step is over is decided
// by the monotonic clock, and a watchdog on that clock serves a cohort the
// engine has not reported a step later. If the report is not there in another second
// the watchdog replaces the engine and counts that.
//
// Steps are logical: when the process did not run (SIGSTOP, a starved machine)
// the clock resumes where it was, so that nobody is expired for our absence. A process
// that runs, and whose turner is late for lack of a processor, has no pause: what
// keeps the processor busy moves the clock then, by CatchUp. See clock.
//
// # Goroutines
//
//	goroutine   owner   ends         does
//	turner      Start   Stop         advances the clock, arms cohorts, watchdog
//	sweeper     Start   Stop         serves steps that are over
//	workers     Start   Stop         call Fire; Config.Workers of them
//	engine (3)  turner  Stop, or when replaced; a deadlocked one never does
//
// # Rejected
//
// A timer of the engine, or of package time, for each session: re-arming on
// every message costs a hundred times a touch (BenchmarkTouch against
// BenchmarkEngineRearm), and the engine starts a goroutine per firing. A heap:
// O(log n) under one lock per message. A goroutine per slot: the storm of one
// tick becomes a storm of goroutines. Scanning a map of last activities: its cost
// grows with the sessions that do nothing.
package wheel
