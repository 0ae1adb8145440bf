package frontier

// heap is a 4-ary heap: least first, by less. moved, if set, is told where an element stands, -1 when it has left.
type heap[T any] struct {
	all   []T
	less  func(a, b *T) bool
	moved func(e *T, at int)
}

func (h *heap[T]) len() int { return len(h.all) }

func (h *heap[T]) top() *T { return &h.all[0] }

func (h *heap[T]) push(e T) {
	h.all = append(h.all, e)
	h.up(len(h.all) - 1)
}

func (h *heap[T]) pop() T { return h.remove(0) }

// remove takes out the element at i.
func (h *heap[T]) remove(i int) T {
	e := h.all[i]
	last := len(h.all) - 1
	h.all[i] = h.all[last]
	var zero T
	h.all[last] = zero
	h.all = h.all[:last]
	if i < last {
		h.fix(i)
	}
	if h.moved != nil {
		h.moved(&e, -1)
	}
	if c := cap(h.all); c > 1024 && last < c/4 {
		h.all = append(make([]T, 0, c/2), h.all...)
	}
	return e
}

// fix puts the element at i right after its order has changed.
func (h *heap[T]) fix(i int) {
	if !h.down(i) {
		h.up(i)
	}
}

func (h *heap[T]) up(i int) {
	e := h.all[i]
	for i > 0 {
		parent := (i - 1) / 4
		if !h.less(&e, &h.all[parent]) {
			break
		}
		h.set(i, h.all[parent])
		i = parent
	}
	h.set(i, e)
}

// down reports whether the element moved.
func (h *heap[T]) down(i int) bool {
	start, e := i, h.all[i]
	for {
		least := -1
		for c := 4*i + 1; c < min(4*i+5, len(h.all)); c++ {
			if least < 0 || h.less(&h.all[c], &h.all[least]) {
				least = c
			}
		}
		if least < 0 || !h.less(&h.all[least], &e) {
			break
		}
		h.set(i, h.all[least])
		i = least
	}
	h.set(i, e)
	return i > start
}

func (h *heap[T]) set(i int, e T) {
	h.all[i] = e
	if h.moved != nil {
		h.moved(&h.all[i], i)
	}
}
