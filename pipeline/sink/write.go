package sink

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"time"

	"go.uber.org/zap"

	"github.com/tulle-go/tulle/crawl"
)

// run writes what waits, batch by batch, until the stage is closed.
func (s *stage) run(ctx context.Context) {
	defer close(s.ended)
	for {
		select {
		case <-s.wake:
		case <-ctx.Done():
			return
		}
		s.linger(ctx)
		for {
			batch := s.take()
			if len(batch) == 0 {
				break
			}
			s.safely(ctx, batch)
		}
	}
}

// safely is batch, whose waiters get an answer even if it panics: then nothing is known of its rows, and the crawl is closed.
func (s *stage) safely(ctx context.Context, rows []*row) {
	err := guarded(func() error { s.batch(ctx, slices.Clone(rows)); return nil })
	if err != nil {
		s.giveUp(ctx, rows, err)
	}
}

// guarded calls f, and makes a panic in it an error with its stack: items and drivers have methods of their own.
func guarded(f func() error) (err error) {
	defer recovered(&err)
	return f()
}

// recovered is deferred.
func recovered(err *error) {
	if v := recover(); v != nil {
		*err = &crawl.PanicError{Value: v, Stack: debug.Stack()}
	}
}

// linger gives others the time to join a batch.
func (s *stage) linger(ctx context.Context) {
	if s.conf.FlushEvery <= 0 {
		return
	}
	t := time.NewTimer(s.conf.FlushEvery)
	defer t.Stop()
	select {
	case <-t.C:
	case <-s.full:
	case <-ctx.Done():
	}
}

// take is the next batch.
func (s *stage) take() []*row {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := min(len(s.waiting), s.conf.Batch)
	batch := s.waiting[:n:n]
	s.waiting = s.waiting[n:]
	if len(s.waiting) == 0 {
		s.waiting = nil
	}
	select {
	case <-s.full:
	default:
	}
	return batch
}

// batch writes rows, and tells each who waits for one.
func (s *stage) batch(ctx context.Context, rows []*row) {
	s.mu.Lock()
	down := s.down
	s.mu.Unlock()
	if down != nil {
		finish(rows, down)
		return
	}
	if len(s.table.names) == 0 {
		err := s.patiently(ctx, func(ctx context.Context) error { return s.createFor(ctx, rows) })
		if errors.Is(err, errNoFields) {
			for _, r := range rows {
				s.fail(r, err)
			}
			return
		}
		if err != nil {
			s.giveUp(ctx, rows, err)
			return
		}
	}
	good := rows[:0]
	for _, r := range rows {
		if err := s.fill(r); err != nil {
			s.fail(r, err)
			continue
		}
		good = append(good, r)
	}
	s.write(ctx, good)
}

// write writes rows all together or, if one of them is at fault, finds it.
func (s *stage) write(ctx context.Context, rows []*row) {
	if len(rows) == 0 {
		return
	}
	err := s.patiently(ctx, func(ctx context.Context) error { return s.attempt(ctx, rows) })
	var gone *goneError
	switch {
	case err == nil:
		s.rows.Add(int64(len(rows)))
		finish(rows, nil)
	case errors.As(err, &gone):
		s.giveUp(ctx, rows, err)
	case len(rows) == 1:
		s.fail(rows[0], err)
	default:
		half := len(rows) / 2
		s.write(ctx, rows[:half])
		s.mu.Lock()
		down := s.down
		s.mu.Unlock()
		if down != nil {
			finish(rows[half:], down)
			return
		}
		s.write(ctx, rows[half:])
	}
}

// fail ends a row that cannot be written.
func (s *stage) fail(r *row, err error) {
	s.failed.Add(1)
	r.answer(fmt.Errorf("write to table %s: %w", s.name, err))
}

func finish(rows []*row, err error) {
	for _, r := range rows {
		r.answer(err)
	}
}

// answer tells who waits for a row, unless he has been told.
func (r *row) answer(err error) {
	select {
	case r.done <- err:
	default:
	}
}

// giveUp ends the crawl: these rows are not written, and no others.
func (s *stage) giveUp(ctx context.Context, rows []*row, err error) {
	stop := crawl.CloseSpider(ReasonDown)
	if ctx.Err() != nil {
		stop = crawl.ErrStopping
	} else {
		fields := []zap.Field{zap.Error(s.scrub(err))}
		if panicked, ok := errors.AsType[*crawl.PanicError](err); ok {
			fields = append(fields, zap.ByteString("stack", panicked.Stack))
		}
		s.log.Error("the table cannot be written to: the crawl is closed", fields...)
	}
	s.mu.Lock()
	s.down = stop
	waiting := s.waiting
	s.waiting = nil
	s.mu.Unlock()
	finish(rows, stop)
	finish(waiting, stop)
}

// goneError says that the database, or the table, takes no rows at all.
type goneError struct{ err error }

func (e *goneError) Error() string { return e.err.Error() }
func (e *goneError) Unwrap() error { return e.err }

// patiently calls f again while the database is away or busy, and returns its last error: a goneError, or one that is a row's.
func (s *stage) patiently(ctx context.Context, f func(context.Context) error) error {
	work, cancel := ctx, context.CancelFunc(func() {})
	if s.conf.Patience > 0 {
		work, cancel = context.WithTimeout(ctx, s.conf.Patience)
	}
	defer cancel()
	pause := 50 * time.Millisecond
	const longest = 5 * time.Second
	for {
		err := guarded(func() error { return f(work) })
		if err == nil {
			return nil
		}
		t := judge(err)
		if t == troubleOpen {
			// What the driver says of a row's value, or of a connection that is gone. The connection itself knows.
			t = troubleRow
			if s.db.PingContext(work) != nil {
				t = troubleBusy
			}
		}
		switch {
		case ctx.Err() != nil, t == troubleAll, t == troubleBusy && (s.conf.Patience < 0 || work.Err() != nil):
			return &goneError{err}
		case t == troubleRow:
			return err
		}
		s.retries.Add(1)
		s.log.Warn("the database does not take rows: trying again", zap.Duration("after", pause), zap.Error(s.scrub(err)))
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-work.Done():
			timer.Stop()
			return &goneError{err}
		}
		pause = min(2*pause, longest)
	}
}

// execer is a database, or a transaction.
type execer interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
}

// attempt is insert, with an error of which it is known whether it is of the rows or of the table.
func (s *stage) attempt(ctx context.Context, rows []*row) error {
	err := s.insert(ctx, rows)
	if code, ok := sqliteCode(err); !ok || code&0xff != sqliteError {
		return err
	}
	// What a value makes a generated column or a trigger say has the same code as a table that is gone. A table that would take rows is there.
	tried := make(map[*plan]bool)
	for _, r := range rows {
		if tried[r.plan] {
			continue
		}
		tried[r.plan] = true
		if refused := s.try(ctx, r.plan); refused != nil {
			if judge(refused) == troubleBusy {
				return refused
			}
			return err
		}
	}
	return &rowError{err}
}

// rowError is of one row, whatever the database's code says.
type rowError struct{ err error }

func (e *rowError) Error() string { return e.err.Error() }
func (e *rowError) Unwrap() error { return e.err }

// insert writes rows: all of them, or none.
func (s *stage) insert(ctx context.Context, rows []*row) (err error) {
	parts := s.statements(rows)
	if len(parts) == 1 {
		return s.execute(ctx, s.db, parts[0])
	}
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() {
		if undo := tx.Rollback(); undo != nil && !errors.Is(undo, sql.ErrTxDone) {
			err = errors.Join(err, undo)
		}
	}()
	for _, part := range parts {
		if err := s.execute(ctx, tx, part); err != nil {
			return err
		}
	}
	return tx.Commit()
}

// statements groups rows by what one statement can write. Rows with the same key are written in the order in which they came; of those with the same columns, the last one.
func (s *stage) statements(rows []*row) [][]*row {
	var parts [][]*row
	at := make(map[*plan]int)       // the part that a plan's rows go to
	same := make(map[string][2]int) // the part and the place in it, by plan and key
	last := make(map[string]int)    // the last part that has a row of a key
	for _, r := range rows {
		i, ok := at[r.plan]
		var k, key string
		if len(r.plan.key) > 0 {
			k = fmt.Sprintf("%p", r.plan)
			for _, j := range r.plan.key {
				text := fmt.Sprint(r.args[j])
				k += fmt.Sprintf(" %T %d %s", r.args[j], len(text), text)
				key += fmt.Sprintf(" %d %s", len(text), text)
			}
			later, written := last[key]
			if was, again := same[k]; again && was[0] == i && later == i {
				parts[i][was[1]] = r
				continue
			}
			ok = ok && (!written || later <= i)
		}
		if !ok || (len(parts[i])+1)*len(r.plan.names) > s.dialect.parameters {
			i = len(parts)
			at[r.plan] = i
			parts = append(parts, nil)
		}
		if k != "" {
			same[k], last[key] = [2]int{i, len(parts[i])}, i
		}
		parts[i] = append(parts[i], r)
	}
	return parts
}

// execute writes rows of one plan.
func (s *stage) execute(ctx context.Context, db execer, rows []*row) error {
	p := rows[0].plan
	args := make([]any, 0, len(rows)*len(p.names))
	for _, r := range rows {
		args = append(args, r.args...)
	}
	_, err := db.ExecContext(ctx, s.dialect.insert(s.name, p.names, s.keyOf(p), len(rows)), args...)
	return err
}
