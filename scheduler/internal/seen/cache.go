package seen

// Cache is a set that forgets what was not met lately. What it holds was added.
type Cache struct {
	table []Key // rows of ways keys
	turn  uint64
}

// ways is the number of places that a key can stand in: two lines of the processor's cache.
const ways = 8

// NewCache makes an empty cache of at most so many bytes.
func NewCache(bytes int) *Cache {
	n := ways
	for 2*n*KeySize <= bytes {
		n *= 2
	}
	return &Cache{table: make([]Key, n)}
}

func (c *Cache) row(k Key) []Key {
	i := k.lo & uint64(len(c.table)-1) &^ (ways - 1)
	return c.table[i : i+ways]
}

// Has reports whether k is there. The zero key never is.
func (c *Cache) Has(k Key) bool {
	if k == (Key{}) {
		return false
	}
	for _, o := range c.row(k) {
		if o == k {
			return true
		}
	}
	return false
}

// Add puts k in, in place of another if there is no room.
func (c *Cache) Add(k Key) {
	row := c.row(k)
	for i, o := range row {
		if o == k {
			return
		}
		if o == (Key{}) {
			row[i] = k
			return
		}
	}
	c.turn++
	row[c.turn%ways] = k
}
