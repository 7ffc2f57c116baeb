package transform

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"landfall.dev/kit"
)

// FormatSchemas writes the schema numbers of kinds: "accounts:1,users:3".
func FormatSchemas(schemas map[string]int) string {
	parts := make([]string, 0, len(schemas))
	for _, kind := range slices.Sorted(maps.Keys(schemas)) {
		parts = append(parts, fmt.Sprintf("%s:%d", kind, schemas[kind]))
	}
	return strings.Join(parts, ",")
}

// ParseSchemas reads what FormatSchemas has written.
func ParseSchemas(text string) (map[string]int, error) {
	schemas := map[string]int{}
	for part := range strings.SplitSeq(text, ",") {
		kind, number, _ := strings.Cut(part, ":")
		n, err := strconv.Atoi(number)
		if err != nil || n < 1 || kit.CheckKind(kind) != nil {
			return nil, kit.Errorf(kit.ErrInvalid, "", "schemas=%q: it is a list like accounts:1,users:3", text)
		}
		schemas[kind] = n
	}
	return schemas, nil
}
