package cron

import "crypto/md5"

// draw yields the numbers that H stands for: those of java.util.Random (its
// documentation gives the algorithm) with a seed made from a job's name.
type draw struct{ state uint64 }

const (
	multiplier = 0x5DEECE66D
	mask       = 1<<48 - 1
)

func newDraw(name string) *draw {
	sum := md5.Sum([]byte(name))
	var seed uint64
	for i := range 8 {
		seed = seed<<8 | uint64(sum[i]^sum[i+8])
	}
	return seeded(seed)
}

func seeded(seed uint64) *draw { return &draw{(seed ^ multiplier) & mask} }

// below returns a number from 0 to n-1.
func (d *draw) below(n int) int {
	for {
		d.state = (d.state*multiplier + 0xB) & mask
		r := int(d.state >> 17) // 31 bits
		if n&(n-1) == 0 {
			return n * r >> 31
		}
		// The last numbers, which are too few for a whole round, do not count.
		if r-r%n+n-1 < 1<<31 {
			return r % n
		}
	}
}
