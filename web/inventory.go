package web

import (
	"landfall.dev/api"
	"landfall.dev/kit"
)

// inventoriesPage is a list of inventories.
type inventoriesPage struct {
	Inventories []api.Inventory
	Next        string
}

func (s site) inventories(r request) (page, error) {
	filter, err := projectFilter(r)
	if err != nil {
		return page{}, err
	}
	var p inventoriesPage
	p.Inventories, p.Next, err = list(r, api.Inventories, filter, "-created")
	return page{Title: "Inventories", Section: "/builds", Body: "inventories", Content: p, Live: follow(api.Inventories.Name)}, err
}

// inventoryPage is what a build or an image contains.
type inventoryPage struct {
	api.Inventory
	Judge bool // the caller may have it judged again
}

func (s site) inventory(r request) (page, error) {
	i, err := read(r, api.Inventories)
	if err != nil {
		return page{}, err
	}
	p := inventoryPage{Inventory: i, Judge: i.State != api.InventoryJudging && r.may("judge", i.Link)}
	return page{Title: "Inventory " + i.Link.ID(), Section: "/builds", Body: "inventory", Content: p, Live: follow(string(i.Link))}, nil
}

// Rest tells how many components are not listed.
func (p inventoryPage) Rest() int { return p.Components - len(p.List) }

// inventoryForms are the forms on the page of an inventory.
var inventoryForms = map[string]form{"judge": noArguments}

// contentsOf returns the inventory of a build, nil if it has none, or none that
// the caller may see.
func contentsOf(r request, b api.Build) (*api.Inventory, error) {
	for _, f := range b.Reports {
		if !f.Kind.OfInventory() {
			continue
		}
		i, err := api.Inventories.Read(r.Context(), r.client, b.Link.ID())
		switch kit.FaultOf(err) {
		case kit.ErrForbidden, kit.ErrNotFound:
			return nil, nil
		}
		return &i, err
	}
	return nil, nil
}
