//! A model's tensors on a device: one contiguous float32 buffer that all trained weights are views of, the buffers,
//! and the puzzle-embedding table. Contiguity lets optimizer, EMA and gradient reduction run in one pass each.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use models::{
    ArchitectureConfig, Checkpoint, ForwardDtype, Initializer, Model, ModelDims, ModelError, ParameterKind,
    ParameterSource, ParameterSpec,
};
use tch::{Device, Kind, Tensor};

use crate::backend::{Weight, kind_of};

/// Copies of the weights in the forward type, shared with the model's layers.
type Casts = Vec<Rc<RefCell<Option<Tensor>>>>;

/// The tensors of one model on one device.
#[derive(Debug)]
pub struct Parameters {
    specs: Vec<ParameterSpec>,
    tensors: BTreeMap<String, Tensor>,
    flat: Tensor,
    device: Device,
    forward_dtype: ForwardDtype,
    casts: RefCell<Casts>,
}

impl Parameters {
    /// Builds the tensors of `arch`, row-major values coming from `values`.
    ///
    /// # Errors
    /// When the config is invalid or `values` fails.
    pub fn new(
        arch: &ArchitectureConfig,
        dims: &ModelDims,
        device: Device,
        mut values: impl FnMut(&ParameterSpec) -> Result<Vec<f32>, ModelError>,
    ) -> Result<Self, ModelError> {
        let specs = arch.parameter_specs(dims)?;
        let trained = || specs.iter().filter(|spec| spec.kind == ParameterKind::Weight);
        let mut host = Vec::with_capacity(trained().map(ParameterSpec::element_count).sum());
        for spec in trained() {
            host.extend(values(spec)?);
        }
        let flat = Tensor::from_slice(&host).to_device(device);
        let mut tensors = BTreeMap::new();
        let mut offset = 0;
        for spec in &specs {
            let shape = shape_of(spec);
            let tensor = match spec.kind {
                ParameterKind::Weight => {
                    let count = spec.element_count() as i64;
                    let view = flat.narrow(0, offset, count).view(shape.as_slice()).detach();
                    offset += count;
                    view.set_requires_grad(true)
                }
                ParameterKind::Buffer => Tensor::from_slice(&values(spec)?)
                    .view(shape.as_slice())
                    .to_device(device)
                    .to_kind(kind_of(arch.forward_dtype())),
                ParameterKind::PuzzleTable => {
                    Tensor::from_slice(&values(spec)?).view(shape.as_slice()).to_device(device)
                }
            };
            tensors.insert(spec.name.clone(), tensor);
        }
        Ok(Self { specs, tensors, flat, device, forward_dtype: arch.forward_dtype(), casts: RefCell::default() })
    }

    /// Fresh values drawn from `seed`.
    ///
    /// # Errors
    /// When the config is invalid.
    pub fn initialised(
        arch: &ArchitectureConfig,
        dims: &ModelDims,
        device: Device,
        seed: u64,
    ) -> Result<Self, ModelError> {
        let initializer = Initializer::new(seed);
        Self::new(arch, dims, device, |spec| Ok(initializer.draw(spec)))
    }

    /// The values of a checkpoint.
    ///
    /// # Errors
    /// When a tensor is missing or misshapen.
    pub fn from_checkpoint(checkpoint: &Checkpoint, device: Device) -> Result<Self, ModelError> {
        let manifest = &checkpoint.manifest;
        Self::new(&manifest.arch, &manifest.dims, device, |spec| checkpoint.values(spec))
    }

    /// The same model with other trained weights (EMA), sharing buffers and puzzle table.
    #[must_use]
    pub fn with_weights(&self, flat: &Tensor) -> Self {
        let flat = flat.detach().copy();
        let mut offset = 0;
        let tensors = self
            .specs
            .iter()
            .map(|spec| {
                let tensor = if spec.kind == ParameterKind::Weight {
                    let count = spec.element_count() as i64;
                    let view = flat.narrow(0, offset, count).view(shape_of(spec).as_slice());
                    offset += count;
                    view
                } else {
                    self.tensors[&spec.name].shallow_clone()
                };
                (spec.name.clone(), tensor)
            })
            .collect();
        Self {
            specs: self.specs.clone(),
            tensors,
            flat,
            device: self.device,
            forward_dtype: self.forward_dtype,
            casts: RefCell::default(),
        }
    }

    /// The model over these tensors.
    ///
    /// # Errors
    /// When `arch` is not the architecture that the tensors were built for.
    pub fn model(&self, arch: &ArchitectureConfig, dims: &ModelDims) -> Result<Model<Weight>, ModelError> {
        Model::new(arch, dims, &mut &*self)
    }

    /// Every tensor's spec, in order of construction; trained weights lie in [`flat`](Self::flat) in this order.
    pub fn specs(&self) -> &[ParameterSpec] {
        &self.specs
    }

    /// A tensor by name, if the model has it.
    pub fn get(&self, name: &str) -> Option<&Tensor> {
        self.tensors.get(name)
    }

    /// All trained weights, `[weight_count]` float32.
    pub fn flat(&self) -> &Tensor {
        &self.flat
    }

    /// Where the tensors live.
    pub fn device(&self) -> Device {
        self.device
    }

    /// The puzzle-embedding table `[num_puzzle_identifiers, puzzle_emb_ndim]`, if the model has one.
    pub fn puzzle_table(&self) -> Option<&Tensor> {
        let spec = self.specs.iter().find(|spec| spec.kind == ParameterKind::PuzzleTable)?;
        self.tensors.get(&spec.name)
    }

    /// Gradients of all trained weights in the layout of [`flat`](Self::flat); zero where none arrived.
    pub fn flat_gradient(&self) -> Tensor {
        let gradients: Vec<Tensor> = self
            .specs
            .iter()
            .filter(|spec| spec.kind == ParameterKind::Weight)
            .map(|spec| {
                let gradient = self.tensors[&spec.name].grad();
                if gradient.defined() {
                    gradient.view(-1)
                } else {
                    Tensor::zeros([spec.element_count() as i64], (Kind::Float, self.device))
                }
            })
            .collect();
        Tensor::cat(&gradients, 0)
    }

    /// Forgets gradients and the copies in the forward type: to be called after the weights have changed.
    pub fn weights_changed(&mut self) {
        for spec in &self.specs {
            if spec.kind == ParameterKind::Weight
                && let Some(tensor) = self.tensors.get_mut(&spec.name)
            {
                tensor.zero_grad();
            }
        }
        self.forget_casts();
    }

    /// Forgets the copies in the forward type alone.
    pub(crate) fn forget_casts(&self) {
        for cast in self.casts.borrow().iter() {
            *cast.borrow_mut() = None;
        }
    }

    fn weight(&self, master: Tensor) -> Weight {
        let cast = Rc::default();
        self.casts.borrow_mut().push(Rc::clone(&cast));
        Weight::new(master, cast)
    }
}

impl ParameterSource for &Parameters {
    type Weight = Weight;

    fn parameter(&mut self, spec: ParameterSpec) -> Result<Weight, ModelError> {
        let tensor = self.tensors.get(&spec.name).ok_or_else(|| ModelError::MissingTensor {
            origin: "the model in memory".into(),
            name: spec.name.clone(),
            shape: spec.shape.clone(),
        })?;
        Ok(self.weight(tensor.shallow_clone()))
    }

    fn constant(&mut self, _name: &str, shape: &[usize], values: Vec<f32>) -> Weight {
        let shape: Vec<i64> = shape.iter().map(|&extent| extent as i64).collect();
        self.weight(Tensor::from_slice(&values).view(shape.as_slice()).to_device(self.device))
    }
}

fn shape_of(spec: &ParameterSpec) -> Vec<i64> {
    spec.shape.iter().map(|&extent| extent as i64).collect()
}
