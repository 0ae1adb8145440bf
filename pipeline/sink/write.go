package sink

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
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
			s.batch(ctx, batch)
		}
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
	err := s.patiently(ctx, func(ctx context.Context) error { return s.insert(ctx, rows) })
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
	r.done <- fmt.Errorf("write to table %s: %w", s.name, err)
}

func finish(rows []*row, err error) {
	for _, r := range rows {
		r.done <- err
	}
}

// giveUp ends the crawl: these rows are not written, and no others.
func (s *stage) giveUp(ctx context.Context, rows []*row, err error) {
	stop := crawl.CloseSpider(ReasonDown)
	if ctx.Err() != nil {
		stop = crawl.ErrStopping
	} else {
		s.log.Error("the table cannot be written to: the crawl is closed", zap.Error(s.scrub(err)))
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
		err := f(work)
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
	for _, part := range parts {
		if err := s.execute(ctx, tx, part); err != nil {
			return errors.Join(err, ignoreDone(tx.Rollback()))
		}
	}
	return tx.Commit()
}

// ignoreDone is err, unless it says that there is nothing to undo.
func ignoreDone(err error) error {
	if errors.Is(err, sql.ErrTxDone) {
		return nil
	}
	return err
}

// statements groups rows by what one statement can write. Of rows with the same key the last one is written.
func (s *stage) statements(rows []*row) [][]*row {
	var parts [][]*row
	at := make(map[*plan]int)       // the part that a plan's rows go to
	same := make(map[string][2]int) // the part and the place in it, by plan and key
	for _, r := range rows {
		i, ok := at[r.plan]
		var k string
		if len(r.plan.key) > 0 {
			k = fmt.Sprintf("%p", r.plan)
			for _, j := range r.plan.key {
				k += fmt.Sprintf("\x00%T %v", r.args[j], r.args[j])
			}
			if was, again := same[k]; again && was[0] == i {
				parts[i][was[1]] = r
				continue
			}
		}
		if !ok || (len(parts[i])+1)*len(r.plan.names) > s.dialect.parameters {
			i = len(parts)
			at[r.plan] = i
			parts = append(parts, nil)
		}
		if k != "" {
			same[k] = [2]int{i, len(parts[i])}
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
