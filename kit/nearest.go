package kit

// Nearest returns the one of names that word was probably meant to be, or ""
// if none is close: at most a third of the word, and one more, differs. Of
// equally close ones it takes the first.
func Nearest(word string, names []string) string {
	best, least := "", 2+len(word)/3
	for _, n := range names {
		if d := distance(word, n, least); d < least {
			best, least = n, d
		}
	}
	return best
}

// distance is the number of bytes to add, remove, change or swap with the next
// to get from a to b (the optimal string alignment distance), or limit if it is
// certainly no less.
func distance(a, b string, limit int) int {
	if len(a)-len(b) >= limit || len(b)-len(a) >= limit {
		return limit
	}
	var before, last []int
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		before, last, row = last, row, make([]int, len(b)+1)
		row[0] = i
		for j := 1; j <= len(b); j++ {
			change := last[j-1]
			if a[i-1] != b[j-1] {
				change++
			}
			row[j] = min(last[j]+1, row[j-1]+1, change)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
	}
	return row[len(b)]
}
