#pragma once
// MLXCache's public face: the only header of it that other products include. A scan of this machine's model stores, the ledger
// made from it, and the plan of what could be shared. Looking changes nothing in a store; applying a plan is the program's work.
//
//   mlxcache::Catalog catalog = TRY(mlxcache::Catalog::open(home));            // or in_memory()
//   mlxcache::Inventory found = TRY(mlxcache::scan_stores(context, catalog, {}, mlxbase::no_progress()));
//   mlxcache::Ledger ledger = mlxcache::make_ledger(context.fs, found);
//
// Link with mlxcache::mlxcache.
#include "mlxcache/catalog/catalog.h"
#include "mlxcache/catalog/inventory.h"
#include "mlxcache/catalog/store.h"
#include "mlxcache/dedup/plan.h"
#include "mlxcache/ledger/ledger.h"
#include "mlxcache/scan/scan.h"
#include "mlxcache/stores/adapter.h"

namespace mlxcache {

// What a scan finds.
using catalog::Catalog;
using catalog::Entry;
using catalog::Evidence;
using catalog::Group;
using catalog::Inode;
using catalog::Inventory;
using catalog::Links;
using catalog::Listing;
using catalog::Model;
using catalog::NameRef;
using catalog::Problem;
using catalog::Role;
using catalog::Root;
using catalog::StoreKind;
using catalog::StoreTotals;

// The tools that are known, and where to look.
using stores::Adapter;
using stores::adapter_of;
using stores::adapters;
using stores::Context;
using stores::find_adapter;

using ScanOptions = scan::Options;
/// See scan::scan.
inline mlxbase::Result<Inventory> scan_stores(const Context& context, Catalog& catalog, const ScanOptions& options,
                                              mlxbase::Progress& progress) {
  return scan::scan(context, catalog, options, progress);
}

using ledger::Ledger;
using LedgerLine = ledger::Line;
using ledger::make_ledger;

// What could be shared: values only.
using dedup::Action;
using dedup::make_plan;
using dedup::Method;
using dedup::MethodChoice;
using dedup::Plan;
using dedup::PlanOptions;
using dedup::Skipped;

}  // namespace mlxcache
