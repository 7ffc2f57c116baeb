package query

import (
	"testing"

	"landfall.dev/kit"
	"landfall.dev/kit/store/storetest"
)

// BenchmarkCompileFilter compiles a filter that no cache has.
func BenchmarkCompileFilter(b *testing.B) {
	for b.Loop() {
		if _, err := Compile(storetest.Parcels.Definition, `customer == "c7" && pieces > 3`); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkFilter tests one document.
func BenchmarkFilter(b *testing.B) {
	for _, filter := range []string{`pieces > 3`, `customer == "c7" && pieces > 3 && !fragile`, `to.city == "Rome"`, `tags.exists(t, t == "b")`} {
		b.Run(filter, func(b *testing.B) {
			f, err := Compile(storetest.Parcels.Definition, filter)
			if err != nil {
				b.Fatal(err)
			}
			r := kit.Record{Body: []byte(`{"customer":"c7","pieces":77,"weight":7.5,"to":{"city":"Rome","zip":77},"tags":["a","b"],"labels":{"shop":"north"}}`)}
			test := f.Test(f.conjuncts)
			for b.Loop() {
				if passes, err := test.Passes(r); !passes || err != nil {
					b.Fatal("it does not pass")
				}
			}
		})
	}
}
