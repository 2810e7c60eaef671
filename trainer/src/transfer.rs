//! Values on their way between the host and the device, and how often the host waits for them. On a GPU operations are
//! only queued: reading a value waits for everything queued before it. All that a training step brings to the
//! host goes through here, so that it can be counted; which values those are is their owners' business.

use std::cell::Cell;

use tch::kind::Element;
use tch::{Device, Kind, Tensor};

thread_local! {
    static HOST_SYNCS: Cell<u64> = const { Cell::new(0) };
}

/// How often this thread has brought values to the host, each of which waits for a GPU. Counted on every device.
pub fn host_syncs() -> u64 {
    HOST_SYNCS.get()
}

/// The values of `tensor` in row-major order.
pub(crate) fn to_host<T: Element + Copy + Default>(tensor: &Tensor) -> Vec<T> {
    count();
    let tensor = tensor.detach().to_device(Device::Cpu).to_kind(T::KIND).contiguous();
    let mut values = vec![T::default(); tensor.numel()];
    let length = values.len();
    tensor.copy_data(&mut values, length);
    values
}

/// The one value of `tensor`.
pub(crate) fn number(tensor: &Tensor) -> f64 {
    count();
    tensor.double_value(&[])
}

/// `values` on `device`. A GPU fetches them from pinned memory, so that the host need not wait until it has.
pub(crate) fn to_device<T: Element>(values: &[T], device: Device) -> Tensor {
    let values = Tensor::from_slice(values);
    match device {
        Device::Cuda(_) => values.pin_memory(device).to_device_(device, values.kind(), true, false),
        _ => values.to_device(device),
    }
}

/// `columns`, `[rows]` each, as one float64 tensor `[columns, rows]`, which can come to the host in one transfer.
pub(crate) fn table_of(columns: &[&Tensor]) -> Tensor {
    let wide: Vec<Tensor> = columns.iter().map(|column| column.detach().to_kind(Kind::Double)).collect();
    Tensor::stack(&wide, 0)
}

/// The columns of a table.
pub(crate) fn table_to_host(table: &Tensor) -> Vec<Vec<f64>> {
    let (columns, rows) = (table.size()[0] as usize, table.size()[1] as usize);
    let values = to_host::<f64>(table);
    (0..columns).map(|column| values[column * rows..(column + 1) * rows].to_vec()).collect()
}

/// How often libtorch waits for a GPU in `work`, by its own count, which is to be no more than [`host_syncs`]; `None` on
/// other devices.
pub(crate) fn counted_by_libtorch<R>(device: Device, work: impl FnOnce() -> R) -> (R, Option<u64>) {
    #[cfg(feature = "cuda")]
    if matches!(device, Device::Cuda(_)) {
        let (result, found) = crate::cuda::count_syncs(work);
        return (result, Some(found));
    }
    let _ = device;
    (work(), None)
}

fn count() {
    HOST_SYNCS.set(HOST_SYNCS.get() + 1);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_transfer_to_the_host_is_counted_and_keeps_its_values() {
        let before = host_syncs();
        let counts = to_device(&[3_i64, -4], Device::Cpu);
        let q = to_device(&[0.1_f32, f32::MIN_POSITIVE], Device::Cpu);
        assert_eq!(host_syncs() - before, 0, "values on their way to the device wait for nothing");
        let columns = table_to_host(&table_of(&[&counts, &q]));
        assert_eq!(columns, [vec![3.0, -4.0], vec![f64::from(0.1_f32), f64::from(f32::MIN_POSITIVE)]]);
        assert_eq!(host_syncs() - before, 1);
        assert_eq!((to_host::<f32>(&q), number(&counts.get(0))), (vec![0.1, f32::MIN_POSITIVE], 3.0));
        assert_eq!(host_syncs() - before, 3);
        let none = Tensor::zeros([0], (Kind::Float, Device::Cpu));
        assert_eq!(table_to_host(&table_of(&[&none, &none])), [Vec::<f64>::new(), Vec::new()]);
    }
}
