package httpapi

import (
	"context"
	"encoding/json"
	"errors"

	"seqrec/internal/httpapi/wire"
	"seqrec/internal/recommend"
)

// currentModel is the name by which the version that serves can be asked for.
const currentModel = "current"

// ListModels answers GET /v1/models.
func (o *operations) ListModels(ctx context.Context, _ wire.ListModelsRequestObject) (wire.ListModelsResponseObject, error) {
	models, err := o.service.Models(requestContext(ctx))
	if err != nil {
		return nil, err
	}
	list := wire.ListModels200JSONResponse{Models: make([]wire.Model, len(models))}
	for i := range models {
		list.Models[i] = modelOf(&models[i])
	}
	return list, nil
}

// ReadModel answers GET /v1/models/{version}.
func (o *operations) ReadModel(ctx context.Context, r wire.ReadModelRequestObject) (wire.ReadModelResponseObject, error) {
	model, err := o.service.Model(requestContext(ctx), r.Version)
	return wire.ReadModel200JSONResponse(modelOf(&model)), err
}

// PromoteModel answers POST /admin/v1/models/{version}:promote.
func (o *operations) PromoteModel(ctx context.Context, r wire.PromoteModelRequestObject) (wire.PromoteModelResponseObject, error) {
	model, err := o.service.Promote(requestContext(ctx), r.Version)
	return wire.PromoteModel200JSONResponse(modelOf(&model)), err
}

// RollbackModel answers POST /admin/v1/models/{version}:rollback. One rollback at a time is compared with what serves
// and done, so that two operators who mean the same step take it once.
func (o *operations) RollbackModel(ctx context.Context, r wire.RollbackModelRequestObject) (wire.RollbackModelResponseObject, error) {
	o.rollback.Lock()
	defer o.rollback.Unlock()
	ctx = requestContext(ctx)
	leaving, err := o.service.Model(ctx, r.Version)
	if err != nil {
		return nil, err
	}
	serving, err := o.service.Model(ctx, currentModel)
	if err != nil {
		return nil, err
	}
	if leaving.Version != serving.Version {
		return nil, fail(conflict, "another version serves")
	}
	model, err := o.service.Rollback(ctx)
	if errors.Is(err, recommend.ErrUnknownModel) {
		return nil, fail(conflict, "no whole version was current before this one")
	}
	return wire.RollbackModel200JSONResponse(modelOf(&model)), err
}

// LoadModel answers POST /admin/v1/models/{version}:load.
func (o *operations) LoadModel(ctx context.Context, r wire.LoadModelRequestObject) (wire.LoadModelResponseObject, error) {
	model, err := o.service.Load(requestContext(ctx), r.Version)
	return wire.LoadModel200JSONResponse(modelOf(&model)), err
}

// UnloadModel answers POST /admin/v1/models/{version}:unload.
func (o *operations) UnloadModel(ctx context.Context, r wire.UnloadModelRequestObject) (wire.UnloadModelResponseObject, error) {
	model, err := o.service.Unload(requestContext(ctx), r.Version)
	return wire.UnloadModel200JSONResponse(modelOf(&model)), err
}

// ShadowModel answers POST /admin/v1/models/{version}:shadow.
func (o *operations) ShadowModel(ctx context.Context, r wire.ShadowModelRequestObject) (wire.ShadowModelResponseObject, error) {
	model, err := o.service.Shadow(requestContext(ctx), r.Version)
	return wire.ShadowModel200JSONResponse(modelOf(&model)), err
}

func modelOf(m *recommend.ModelInfo) wire.Model {
	return wire.Model{
		Name: m.Name, Version: m.Version, State: m.State, Kind: m.Kind,
		Problem: optional(m.Problem), Describe: optional(m.Describe), Created: optional(m.Created),
		Items: optional(m.Items), Events: optional(m.Events), Users: optional(m.Users), Bytes: optional(m.Bytes),
		Metrics: objectOf(m.Metrics), Config: objectOf(m.Config),
	}
}

// objectOf is the JSON object in text, nil when there is none.
func objectOf(text []byte) *map[string]any {
	var object map[string]any
	if json.Unmarshal(text, &object) != nil || object == nil {
		return nil
	}
	return &object
}
